// Package harden reduces what other processes and users can learn about the broker.
package harden

import (
	"errors"
	"os"
)

// Process removes the named environment variables, which hold secrets, and on Linux makes the process non-dumpable.
// Call it at startup, after reading the environment.
//
// Child processes do not inherit the variables. On Linux, moreover, only processes with CAP_SYS_PTRACE can attach to
// this one or read its memory and environment in /proc, and it writes no core dump. /proc/PID/environ still shows the
// initial environment to root.
//
// Process does as much as it can and returns what failed. Sandboxes may forbid each step, so an error is no reason to
// stop. Errors contain no values.
func Process(secrets []string) error {
	errs := []error{disableDump()}
	for _, name := range secrets {
		errs = append(errs, os.Unsetenv(name))
	}
	return errors.Join(errs...)
}
