// Package activation takes over the sockets that systemd, or whoever speaks its protocol (sd_listen_fds(3)), has opened
// for this process.
package activation

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

const (
	// firstDescriptor follows standard input, output and error.
	firstDescriptor = 3
	// maxDescriptors is more than anybody needs, and keeps a number that is not what it seems from being counted up to.
	maxDescriptors = 64
	// unnamed is what sd_listen_fds_with_names(3) calls a descriptor without a name.
	unnamed = "unknown"
)

// Listener is a socket that was handed over.
type Listener struct {
	// Name is what the .socket unit calls it: FileDescriptorName=, or the unit's own name. "unknown" if there is none.
	Name string
	net.Listener
}

// Listeners takes over the sockets that LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES in environ, which is of os.Environ's
// form, announce to the process pid, in their order. It returns none if there are none, or if they are another's, as for
// a child that inherited the variables. All are listening stream sockets, or there is an error, which says what to do in
// the .socket unit, and no listener. Programs that are started from here on do not inherit them.
//
// Closing a listener leaves the file of a Unix socket where it is: it is systemd's, which listens on.
//
// It is to be called once, before anything else is opened: the descriptors are known by number alone, and their numbers
// are free for others afterwards.
func Listeners(environ []string, pid int) ([]Listener, error) {
	return listeners(environ, pid, firstDescriptor)
}

func listeners(environ []string, pid, first int) ([]Listener, error) {
	names, err := announced(environ, pid)
	if err != nil {
		return nil, err
	}
	// All of them first, so that an error leaves none to a child.
	for i := range names {
		closeOnExec(first + i)
	}
	var taken []Listener
	for i, name := range names {
		l, err := takeOver(first + i)
		if err != nil {
			for _, l := range taken {
				_ = l.Close() // nothing was accepted from it
			}
			return nil, fmt.Errorf("descriptor %d (%q) %w", first+i, name, err)
		}
		taken = append(taken, Listener{name, l})
	}
	return taken, nil
}

// announced returns the names of the descriptors that are announced to pid.
func announced(environ []string, pid int) ([]string, error) {
	variables := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			variables[name] = value
		}
	}
	forPID, count, fdNames := variables["LISTEN_PID"], variables["LISTEN_FDS"], variables["LISTEN_FDNAMES"]
	if forPID == "" || count == "" {
		return nil, nil
	}
	target, err := strconv.Atoi(forPID)
	if err != nil || target <= 0 {
		return nil, errors.New("LISTEN_PID must be a process's number: unset it, or let systemd set it")
	}
	if target != pid {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxDescriptors {
		return nil, fmt.Errorf("LISTEN_FDS must be a number from 0 to %d: unset it, or let systemd set it from a .socket unit with as many lines ListenStream=", maxDescriptors)
	}
	names := strings.Split(fdNames, ":")
	if fdNames == "" {
		names = slices.Repeat([]string{unnamed}, n)
	}
	if len(names) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES has %d names for the %d descriptors of LISTEN_FDS: unset both, or let systemd set them", len(names), n)
	}
	return names, nil
}
