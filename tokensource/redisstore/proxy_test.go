package redisstore_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between brokers and a server, and counts connections.
type proxy struct {
	listener net.Listener
	copyTo   io.Writer // gets everything first, and can keep it from being forwarded
	accepted atomic.Int64

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, network, address string, copyTo io.Writer) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, copyTo: copyTo}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			server, err := net.Dial(network, address)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			serving.Go(func() { p.forward(server, client) })
			serving.Go(func() { p.forward(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.drop()
		serving.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() }

func (p *proxy) forward(to, from net.Conn) {
	_, _ = io.Copy(io.MultiWriter(p.copyTo, to), from)
	_, _ = to.Close(), from.Close()
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
