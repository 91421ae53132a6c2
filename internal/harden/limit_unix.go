//go:build unix

package harden

import "syscall"

// maxDescriptors bounds what DescriptorLimit returns. It is the default of fs.nr_open on Linux. Container engines and
// systemd set up to a thousand times that, or "infinity", for which no memory is enough.
const maxDescriptors = 1 << 20

// DescriptorLimit returns how many descriptors (files and connections) the process may have open at the same time, at
// most 1048576, and false if the limit is unknown.
//
// It is the effective limit: before main runs, Go raises the soft limit to just below the hard limit
// (syscall/rlimit.go).
func DescriptorLimit() (n int, ok bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(limit.Cur, maxDescriptors)), true
}
