package http1_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"etrusted-broker/proxy/http1"
)

// readBuffers records into which buffers the bodies of connections are being read.
type readBuffers struct {
	mu      sync.Mutex
	inUse   map[*byte]bool
	reading chan struct{} // gets a value when a body is being read
	end     chan struct{} // closed to end that
}

// pausingConn is a connection whose client pauses after a part of its request's body.
type pausingConn struct {
	*script
	buffers *readBuffers
	begun   bool
}

// Read pauses in the second call.
func (c *pausingConn) Read(p []byte) (int, error) {
	last := &p[:cap(p)][cap(p)-1] // identifies the buffer
	c.buffers.mu.Lock()
	reused, pause := c.buffers.inUse[last], c.begun
	c.begun = true
	c.buffers.inUse[last] = reused || pause
	c.buffers.mu.Unlock()
	if reused {
		return 0, errors.New("the buffer is in use")
	}
	if !pause {
		return c.script.Read(p)
	}
	c.buffers.reading <- struct{}{}
	<-c.buffers.end
	return 0, io.EOF
}

// After a panic, a goroutine that sends the body may still read it. Its buffer must not get the bytes of another connection.
func TestDoesNotReuseBufferOfRequestThatPanicked(t *testing.T) {
	const count = 30 // the pool keeps some for each processor
	buffers := &readBuffers{inUse: map[*byte]bool{}, reading: make(chan struct{}, 1), end: make(chan struct{})}
	defer close(buffers.end)
	conns := make(chan net.Conn)
	served := 0
	s := newServer(func(_ *http1.ResponseWriter, r *http1.Request) {
		served++
		go func() { _, _ = io.Copy(io.Discard, r.Body) }()
		<-buffers.reading
		panic("a bug")
	})
	go func() {
		_ = s.Serve(listenerFunc(func() (net.Conn, error) {
			if c, open := <-conns; open {
				return c, nil
			}
			return nil, net.ErrClosed
		}))
	}()
	for range count {
		c := &pausingConn{script: newScript([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n")), buffers: buffers}
		conns <- c
		<-c.closed
	}
	close(conns)
	if served != count {
		t.Errorf("got %d requests, want %d: the others would have used a buffer that is in use", served, count)
	}
}
