//go:build !unix

package http1

import "net"

// idleReader waits for the first bytes of a request.
type idleReader struct{}

// fill reads once from conn into an empty buffer.
func (r *idleReader) fill(conn net.Conn, into *buffer) error { return into.fill(conn) }
