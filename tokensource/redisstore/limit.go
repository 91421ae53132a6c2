package redisstore

import (
	"net"
	"time"
)

// maxReplySize limits a reply, in bytes and in 64 bytes for each element of an announced list. The longest has a token of 64 kB.
const maxReplySize = 128 << 10

// replyLimitedConn limits the size of a reply. redigo allocates whatever length a reply announces, and reads nested lists
// recursively, so a few bytes of a hostile store could end this process. It reads lines as redigo does: once they disagree about
// where one begins, redigo has returned an error.
type replyLimitedConn struct {
	net.Conn
	left    int  // of the current reply
	kind    byte // the first byte of the current line; 0: none yet
	length  int  // the number in the current line
	payload int  // what is left of a string, which may contain any bytes
}

// SetReadDeadline begins a reply: redigo calls it before each one.
func (c *replyLimitedConn) SetReadDeadline(t time.Time) error {
	c.left = maxReplySize
	return c.Conn.SetReadDeadline(t)
}

func (c *replyLimitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, b := range p[:n] {
		c.left--
		switch {
		case c.payload > 0:
			c.payload--
		case b == '\n':
			switch c.kind {
			case '$':
				c.payload = c.length
			case '*':
				c.left -= 64 * c.length
			}
			c.kind, c.length = 0, 0
		case c.kind == 0 || b == '-': // $-1 and *-1 are nil
			c.kind = b
		case '0' <= b && b <= '9':
			c.length = min(10*c.length+int(b-'0'), maxReplySize+1)
		}
		if c.left < c.payload {
			return 0, errInvalidReply
		}
	}
	return n, err
}
