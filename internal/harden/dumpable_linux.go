package harden

import "syscall"

// makeNonDumpable clears the "dumpable" attribute until the next execve: see PR_SET_DUMPABLE(2const) and ptrace(2). The attribute
// belongs to the memory that all threads share, so any thread may clear it.
func makeNonDumpable() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}
