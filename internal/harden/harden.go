// Package harden is about the broker as a process of the operating system: who may look into it, what it inherited,
// and what it may open.
package harden

import (
	"errors"
	"os"
)

// Harden closes the process to others of the same user and makes it forget secrets, which names the environment
// variables that hold some. It is for the start of the program, once what is needed of the environment was taken from
// it: what os.Environ returned before keeps its values.
//
// Afterwards, on every system, the variables are no longer in the environment, neither here nor for a child process. On
// Linux, moreover:
//
//   - /proc/PID/environ, which root and crash handlers read, shows their values as x;
//   - nobody without CAP_SYS_PTRACE can attach to the process or read its memory or environment by /proc, unless he
//     had the file open before;
//   - the process leaves no core dump.
//
// It does as much of this as it can and returns what failed. No such error is a reason to stop: a sandbox may forbid each
// step. The errors name no value of a variable.
func Process(secrets []string) error {
	// The order matters: an ordinary user's process that cannot be dumped cannot open its own memory either. And the
	// last step is taken whatever became of the others.
	return errors.Join(overwrite(secrets), unset(secrets), forbidDump())
}

func unset(names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, os.Unsetenv(name))
	}
	return errors.Join(errs...)
}
