// Package sdnotify tells systemd, or whoever speaks its protocol (sd_notify(3)), how a service fares: one datagram for each
// message, to the socket that NOTIFY_SOCKET names.
package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAddress is how long a Unix socket's address may be: sun_path of unix(7), less its final NUL.
	maxAddress = 107
	// maxStatus keeps a message well below the 4096 bytes from which on systemd ignores all of it.
	maxStatus = 2048
	// minWatchdog is far below what systemd is ever set to, and keeps a number that is not what it seems from becoming a
	// loop without a pause.
	minWatchdog = 2 * time.Millisecond
	// maxWatchdogMicros is what still is a time.Duration.
	maxWatchdogMicros = 1<<63/1000 - 1
	// patience is how long a message may wait for room in systemd's queue. It must be short: the shutdown waits for it.
	patience = time.Second
)

// Notifier tells whoever started this process. A nil one has nobody to tell.
type Notifier struct {
	address  *net.UnixAddr
	watchdog time.Duration
}

// New returns the Notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID in environ, which is of os.Environ's form,
// ask the process pid for; nil if nobody wants to be told. An error names the variable that is wrong and what to do, never
// its value, and is no reason to stop: the Notifier does without what is wrong.
func New(environ []string, pid int) (*Notifier, error) {
	variables := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			variables[name] = value
		}
	}
	socket := variables["NOTIFY_SOCKET"]
	switch {
	case socket == "":
		return nil, nil
	case socket[0] != '/' && socket[0] != '@', len(socket) == 1, len(socket) > maxAddress:
		return nil, fmt.Errorf("NOTIFY_SOCKET must be an absolute path, or @ and a name, of no more than %d bytes: unset it, or let systemd set it for Type=notify", maxAddress)
	}
	watchdog, err := watchdogFor(variables["WATCHDOG_PID"], variables["WATCHDOG_USEC"], pid)
	return &Notifier{&net.UnixAddr{Name: socket, Net: "unixgram"}, watchdog}, err
}

// watchdogFor returns how long the process pid may be silent; 0 if nobody listens for it, or for another process.
func watchdogFor(forPID, micros string, pid int) (time.Duration, error) {
	if micros == "" {
		return 0, nil
	}
	if forPID != "" {
		target, err := strconv.Atoi(forPID)
		if err != nil || target <= 0 {
			return 0, errors.New("WATCHDOG_PID must be a process's number: unset it, or let systemd set it")
		}
		if target != pid {
			return 0, nil // inherited from a parent that is watched itself
		}
	}
	n, err := strconv.ParseUint(micros, 10, 64)
	if err != nil || n > maxWatchdogMicros || time.Duration(n)*time.Microsecond < minWatchdog {
		return 0, fmt.Errorf("WATCHDOG_USEC must be a number of microseconds, %d at the least: unset it, or let systemd set it from WatchdogSec=", minWatchdog.Microseconds())
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Watchdog returns how long the process may go without sending Alive before it is killed; 0 if it may for ever.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// State is one line of a message.
type State string

// What there is to tell.
const (
	Ready    State = "READY=1"    // the start is complete
	Stopping State = "STOPPING=1" // the end has begun
	Watchdog State = "WATCHDOG=1" // the process works
)

// Status is what `systemctl status` is to show. It becomes one line, and is cut where it is longer than anybody reads.
func Status(text string) State {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "") + "…"
	}
	return State("STATUS=" + text)
}

// Extend asks for that much time, from now on, for the start or the stop that is under way.
func ExtendTimeout(d time.Duration) State {
	return State("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Send tells all of it at once. It waits for a second at the most. The socket is opened each time: there is little to
// tell, and nothing to mend if systemd's end was made anew.
func (n *Notifier) Send(states ...State) error {
	if n == nil {
		return nil
	}
	lines := make([]string, len(states))
	for i, state := range states {
		lines[i] = string(state)
	}
	conn, err := net.DialUnix("unixgram", nil, n.address)
	if err != nil {
		return fmt.Errorf("the socket of NOTIFY_SOCKET cannot be reached: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return fmt.Errorf("the socket of NOTIFY_SOCKET cannot be used: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("the socket of NOTIFY_SOCKET takes no message: %w", err)
	}
	return nil
}
