// Package sdnotify reports the state of a service to systemd: see sd_notify(3).
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// maxStatusBytes keeps a message well below 4096 bytes: systemd ignores longer ones.
	maxStatusBytes = 2048
	// minWatchdogTimeout is far below any sensible WatchdogSec=. It prevents a busy loop, and catches values that overflow.
	minWatchdogTimeout = 2 * time.Millisecond
	// sendTimeout bounds the wait for space in systemd's queue. It is short because the shutdown waits for it.
	sendTimeout = time.Second
)

// Notifier sends messages to the socket in NOTIFY_SOCKET. Its methods may be called from any goroutine.
type Notifier struct {
	// WatchdogTimeout is the time after which systemd kills the process unless it sends Watchdog; 0 if systemd does not.
	WatchdogTimeout time.Duration
	socket          string
}

// New returns a Notifier, or nil if NOTIFY_SOCKET is not set. It unsets WATCHDOG_USEC and WATCHDOG_PID. If these are
// invalid, it returns an error and a Notifier without a watchdog.
func New() (notifierOrNil *Notifier, watchdogErr error) {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")} //nolint:forbidigo // go-systemd reads its variables from there too
	if n.socket == "" {
		return nil, nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil || watchdog != 0 && watchdog < minWatchdogTimeout {
		return n, errors.New("WATCHDOG_USEC or WATCHDOG_PID is invalid: unset both, or let systemd set them from WatchdogSec=")
	}
	n.WatchdogTimeout = watchdog
	return n, nil
}

// The states of sd_notify(3) that have no parameter.
const (
	Ready    = daemon.SdNotifyReady
	Stopping = daemon.SdNotifyStopping
	Watchdog = daemon.SdNotifyWatchdog
)

// Status returns the text that `systemctl status` shows, on one line. It is truncated if it is too long.
func Status(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxStatusBytes {
		text = strings.ToValidUTF8(text[:maxStatusBytes], "") + "…"
	}
	return "STATUS=" + text
}

// ExtendTimeout requests that much time, from now on, for the current start or stop.
func ExtendTimeout(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

// Send sends states as one message. It returns after a second at most; then the error wraps os.ErrDeadlineExceeded. It does not
// use go-systemd, which blocks while systemd's queue is full.
func (n *Notifier) Send(states ...string) error {
	conn, err := net.Dial("unixgram", n.socket)
	if err == nil {
		defer func() { _ = conn.Close() }() // nothing is buffered
		err = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	}
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(states, "\n")))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the socket in NOTIFY_SOCKET accepts no message: %w", err)
	case err != nil:
		return fmt.Errorf("cannot write to the socket in NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// RunWatchdog calls check and then alive, now and every timeout/2, as sd_watchdog_enabled(3) advises. While check
// blocks, it calls neither of them. It returns when ctx is done, even if check still blocks.
func RunWatchdog(ctx context.Context, timeout time.Duration, check, alive func()) {
	ticks := time.Tick(timeout / 2)
	for {
		checked := make(chan struct{})
		go func() {
			defer close(checked)
			check()
		}()
		select {
		case <-checked:
			alive()
		case <-ctx.Done():
			return
		}
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
	}
}
