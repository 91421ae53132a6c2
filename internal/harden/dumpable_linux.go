package harden

import (
	"fmt"
	"syscall"
)

// disableDump clears the "dumpable" attribute until the next execve: see PR_SET_DUMPABLE(2const) and ptrace(2).
func disableDump() error {
	// The attribute belongs to the memory that all threads share, so any thread may clear it.
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("the process stays readable for other processes of its user: prctl: %w", errno)
	}
	return nil
}
