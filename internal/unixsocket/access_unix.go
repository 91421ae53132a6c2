//go:build unix

package unixsocket

import "syscall"

// mayCreateIn asks the system (access(2)) whether this user may make a file in a folder.
func mayCreateIn(folder string) error {
	const write, search = 2, 1
	return syscall.Access(folder, write|search)
}
