package redisstore_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// proxy stands between brokers and a server, and counts connections.
type proxy struct {
	url      string
	accepted atomic.Int64

	mu    sync.Mutex
	conns []net.Conn // to the server
}

// newProxy starts a proxy. copyTo gets everything first, and can keep it from being forwarded.
func newProxy(t *testing.T, s *server, copyTo io.Writer) *proxy {
	t.Helper()
	p := &proxy{}
	p.url = "redis://" + brokertest.ServeRaw(t, func(client net.Conn) {
		p.accepted.Add(1)
		server, err := net.Dial(s.network, s.address)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, server)
		p.mu.Unlock()
		brokertest.Tunnel(copied{client, copyTo}, copied{server, copyTo})
	})
	return p
}

// copied is a connection whose reader's bytes go into another writer first.
type copied struct {
	net.Conn
	to io.Writer
}

func (c copied) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if _, failed := c.to.Write(p[:n]); failed != nil {
		return 0, failed
	}
	return n, err
}

// drop closes all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}
