//go:build unix

package harden

import "syscall"

// mostDescriptors bounds what DescriptorLimit returns. It is Linux' own default for the highest limit (fs.nr_open);
// container engines and systemd go up to a thousand times that, or say "infinity", which no memory is enough for.
const mostDescriptors = 1 << 20

// DescriptorLimit returns how many descriptors (files, connections) the process may have open at a time, and false where
// that is unknown. More than 1048576 is returned as 1048576.
//
// It is the limit that is in effect: Go's runtime has raised the soft limit to just below the hard one before main
// begins (syscall/rlimit.go), and the system is asked for what came of it.
func DescriptorLimit() (n int, ok bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(limit.Cur, mostDescriptors)), true
}
