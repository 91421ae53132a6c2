// Package sdnotify reports the state of a service to systemd: see sd_notify(3).
package sdnotify

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// maxStatus keeps a message well below 4096 bytes: systemd ignores longer ones.
	maxStatus = 2048
	// minWatchdog is far below any sensible WatchdogSec=. It prevents a busy loop, and catches values that overflow.
	minWatchdog = 2 * time.Millisecond
	// sendTimeout bounds the wait for space in systemd's queue. It is short because the shutdown waits for it.
	sendTimeout = time.Second
)

// Notifier sends messages to the socket in NOTIFY_SOCKET. A nil Notifier does nothing. All methods may be called from
// any goroutine.
type Notifier struct {
	watchdog time.Duration
	sending  chan struct{} // holds an element while a message is being sent
}

// New returns a Notifier, or nil if NOTIFY_SOCKET is not set. It unsets WATCHDOG_USEC and WATCHDOG_PID. If these are
// invalid, it returns an error and a Notifier without a watchdog.
func New() (*Notifier, error) {
	if os.Getenv("NOTIFY_SOCKET") == "" { //nolint:forbidigo // go-systemd reads it from there too
		return nil, nil
	}
	n := &Notifier{sending: make(chan struct{}, 1)}
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil || watchdog != 0 && watchdog < minWatchdog {
		return n, errors.New("WATCHDOG_USEC or WATCHDOG_PID is invalid: unset both, or let systemd set them from WatchdogSec=")
	}
	n.watchdog = watchdog
	return n, nil
}

// Watchdog returns the time after which systemd kills the process unless it sends Watchdog; 0 if systemd does not.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// State is one line of a message.
type State string

// The states of sd_notify(3) that have no parameter.
const (
	Ready    State = daemon.SdNotifyReady
	Stopping State = daemon.SdNotifyStopping
	Watchdog State = daemon.SdNotifyWatchdog
)

// Status returns the text that `systemctl status` shows, on one line. It is truncated if it is too long.
func Status(text string) State {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "") + "…"
	}
	return State("STATUS=" + text)
}

// ExtendTimeout requests that much time, from now on, for the current start or stop.
func ExtendTimeout(d time.Duration) State {
	return State("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Send sends states as one message. It returns after a second at most; then the error wraps os.ErrDeadlineExceeded.
func (n *Notifier) Send(states ...State) error {
	if n == nil {
		return nil
	}
	lines := make([]string, len(states))
	for i, state := range states {
		lines[i] = string(state)
	}
	timeout := time.After(sendTimeout)
	// go-systemd has no timeout and blocks while systemd's queue is full. One message at a time bounds the number of
	// blocked goroutines to one.
	select {
	case n.sending <- struct{}{}:
	case <-timeout:
		return errTimeout
	}
	sent := make(chan error, 1)
	go func() {
		defer func() { <-n.sending }()
		_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
		sent <- err
	}()
	select {
	case err := <-sent:
		if err != nil {
			return fmt.Errorf("cannot write to the socket in NOTIFY_SOCKET: %w", err)
		}
		return nil
	case <-timeout:
		return errTimeout
	}
}

var errTimeout = fmt.Errorf("the socket in NOTIFY_SOCKET accepts no message: %w", os.ErrDeadlineExceeded)
