//go:build unix

package harden

import "syscall"

// MaxOpenFiles returns how many files and connections the process may have open at the same time, but at most 1048576, the default
// of fs.nr_open on Linux: some container engines set a limit for which no memory is enough. It is the effective limit: before main
// runs, Go raises the soft limit to just below the hard limit (syscall/rlimit.go).
func MaxOpenFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // the usual one
	}
	return int(min(limit.Cur, 1<<20))
}
