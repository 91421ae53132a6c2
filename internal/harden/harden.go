// Package harden reduces what other processes and users can learn about the broker, and reads its limits.
package harden

import "os"

// Process removes the named environment variables, which hold secrets, and on Linux makes the process non-dumpable. Call it
// at startup, after reading the environment.
//
// Child processes do not inherit the variables. On Linux, moreover, only processes with CAP_SYS_PTRACE can attach to this one
// or read its memory and environment in /proc, and it writes no core dump. /proc/PID/environ still shows the initial
// environment to root.
//
// Process does as much as it can: sandboxes may forbid each step, and that is no reason to stop.
func Process(secretVariables []string) {
	disableDump()
	for _, name := range secretVariables {
		_ = os.Unsetenv(name)
	}
}
