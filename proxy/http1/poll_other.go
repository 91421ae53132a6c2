//go:build !unix

package http1

import "net"

// newSocketPoller returns nil: a connection that the upstream has closed is noticed when a request fails on it.
func newSocketPoller(net.Conn) socketPoller { return nil }
