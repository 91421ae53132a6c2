//go:build !unix

package harden

// MaxOpenFiles returns what is usual elsewhere: this system has no such limit.
func MaxOpenFiles() int { return 1024 }
