package harden

import (
	"fmt"
	"syscall"
)

// forbidDump takes the "dumpable" attribute off the process: see PR_SET_DUMPABLE(2const) and ptrace(2). It is kept until
// the process executes another program.
func forbidDump() error {
	// The attribute belongs to the memory that all threads share, so it does not matter which of them asks.
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("the process stays open to others of its user: prctl: %w", errno)
	}
	return nil
}
