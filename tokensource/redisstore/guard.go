package redisstore

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"syscall"
	"time"
)

// Bounds of one answer. The largest that is asked for is the list of a Cluster's commands, with some ten thousand values.
const (
	maxAnswer = 2 << 20
	maxValues = 100_000
)

// dialer connects to a store. The lengths in what the store says are checked before go-redis reads it, which makes room for
// whatever length it is told: a few bytes could end this process.
func dialer(secure *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{
		Timeout: opTime,
		// Below the idle time-outs of most firewalls. A connection that is broken is noticed after a minute.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3},
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, opTime) // the handshake included
		defer cancel()
		if secure != nil {
			conn, err := (&tls.Dialer{NetDialer: plain, Config: secure}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &guard{Conn: conn, open: 1}, nil
		}
		conn, err := plain.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if raw, ok := conn.(syscall.Conn); ok { // go-redis looks there whether an idle connection was closed
			return struct {
				*guard
				syscall.Conn
			}{&guard{Conn: conn, open: 1}, raw}, nil
		}
		return &guard{Conn: conn, open: 1}, nil
	}
}

// guard is a connection to a store on which no answer is larger than those that make sense. It follows the protocol (RESP2,
// and RESP3, which go-redis speaks with Sentinels) as far as that takes: a value is a line, whose first byte is its type; a
// line that is a length is followed by so many bytes, values, or pairs of values.
type guard struct {
	net.Conn
	line   []byte // of which the end has not come yet
	skip   int    // bytes of a string that are still to come
	open   int    // values of this answer that are still to come
	values int    // and that have come
	bytes  int
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if !g.follow(p[:n]) {
		return 0, errNonsense
	}
	return n, err
}

// follow reports whether what was read is still in bounds.
func (g *guard) follow(read []byte) bool {
	for len(read) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(read))
			g.skip, read = g.skip-n, read[n:]
			g.end()
			continue
		}
		g.bytes++
		if g.bytes > maxAnswer {
			return false
		}
		if read[0] != '\n' {
			g.line = append(g.line, read[0])
		} else if !g.header() {
			return false
		}
		read = read[1:]
	}
	return true
}

// header follows a line.
func (g *guard) header() bool {
	line := g.line
	g.line = g.line[:0]
	g.values++
	if len(line) < 2 || line[len(line)-1] != '\r' || g.values > maxValues {
		return false
	}
	length := 0
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
	case '$', '=', '!', '*', '~', '>', '%', '|':
		var err error
		if length, err = strconv.Atoi(string(line[1 : len(line)-1])); err != nil || length < -1 || length > maxAnswer {
			return false
		}
	default:
		return false
	}
	if line[0] != '|' { // which comes before a value
		g.open--
	}
	switch line[0] {
	case '$', '=', '!':
		if length >= 0 {
			g.skip = length + 2
			g.bytes += g.skip
		}
	case '*', '~', '>':
		g.open += max(length, 0)
	case '%', '|':
		g.open += 2 * max(length, 0)
	}
	g.end()
	return g.bytes <= maxAnswer && g.open <= maxValues
}

// end begins anew where an answer is complete.
func (g *guard) end() {
	if g.open == 0 && g.skip == 0 {
		g.open, g.values, g.bytes = 1, 0, 0
	}
}
