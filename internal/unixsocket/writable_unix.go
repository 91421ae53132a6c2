//go:build unix

package unixsocket

import "syscall"

// checkWritable returns an error if this user cannot create files in dir: see access(2).
func checkWritable(dir string) error {
	const write, search = 2, 1
	return syscall.Access(dir, write|search)
}
