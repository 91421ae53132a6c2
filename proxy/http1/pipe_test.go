package http1_test

import (
	"bufio"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/proxy/http1"
)

// newPipeConn is for a connection that startUpstream has not accepted.
func newPipeConn(conn net.Conn) *upstreamConn {
	return &upstreamConn{conn, bufio.NewReader(conn), &upstream{}, 0}
}

// pipe is an upstream in memory, for tests of time.
type pipe struct {
	client http1.Client
	dials  atomic.Int32
	closed atomic.Int32 // connections that the client has closed
	all    sync.WaitGroup
}

func newPipe(timeout time.Duration, serve func(c *upstreamConn)) *pipe {
	p := &pipe{}
	p.client.ResponseTimeout = timeout
	p.client.Dial = func(context.Context) (net.Conn, error) {
		p.dials.Add(1)
		near, far := net.Pipe()
		p.all.Go(func() {
			c := newPipeConn(far)
			serve(c)
			for c.request() != nil {
			}
			p.closed.Add(1)
			_ = far.Close()
		})
		return near, nil
	}
	return p
}

// close waits until the client has closed all connections.
func (p *pipe) close() {
	p.client.CloseIdle()
	p.all.Wait()
}

func (p *pipe) roundTrip(r *http1.ClientRequest) error {
	response, err := p.client.RoundTrip(r)
	if err == nil {
		_, err = readAll(response.Body)
		_ = response.Body.Close()
	}
	return err
}
