//go:build !unix

package http1

// readNowOrNil is nil: a connection that the upstream has closed is noticed when a request fails on it.
var readNowOrNil func(fd uintptr, p []byte) (int, error)
