//go:build !unix

package http1

// readNow is nil: a connection that the upstream has closed is noticed when a request fails on it.
var readNow func(fd uintptr, p []byte) (int, error)
