package wire

import "net"

// UnwrapHijacked returns what there is on a connection after a CONNECT that was granted, which is not HTTP (RFC 9110 section 9.3.6)
// and is not looked at. connection is a Listener's, hijacked by the handler of that CONNECT; any other is returned as it
// is. It counts as open until it is closed, and is not asked to make room for another.
func UnwrapHijacked(connection net.Conn) net.Conn {
	c, ours := connection.(*conn)
	if !ours {
		return connection
	}
	// A client may send what is for the tunnel before it is told that there is one.
	return &tunnel{conn: c, early: append([]byte(nil), c.buffer.rest()...)}
}

// tunnel reads past what reads HTTP.
type tunnel struct {
	*conn
	early []byte
}

// Read reads what the client sends through the tunnel.
func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}
