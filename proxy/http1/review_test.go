package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// A chunk must arrive as it was written, however large the header before it is.
func TestLargeHeaderDoesNotCorruptFirstChunk(t *testing.T) {
	const length = 100_000
	for lines := 250; lines < 330; lines++ {
		s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, _ *http1.Request) {
			for range lines {
				w.Fields.Add("X", strings.Repeat("v", 1000))
			}
			w.WriteHead(200, "OK", -1)
			_, _ = w.Write([]byte(strings.Repeat("b", length)))
		}, nil)
		c := s.dial(t)
		c.send(simple)
		if _, body := c.response("GET"); body != strings.Repeat("b", length) {
			t.Fatalf("%d lines: got %d bytes, %.20q, want %d times b", lines, len(body), body, length)
		}
	}
}

// A client that has sent a byte of its next request and then goes away must be noticed while a response is silent.
func TestNoticesPipeliningClientThatGoes(t *testing.T) {
	gone := make(chan struct{})
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		w.WriteHead(200, "OK", -1)
		_ = w.Flush()
		<-r.Context().Done()
		close(gone)
	}, nil)
	c := s.dial(t)
	c.send(simple + "G")
	_, _ = io.ReadAtLeast(c, make([]byte, 100), 10)
	_ = c.Close()
	select {
	case <-gone:
	case <-time.After(3 * time.Second):
		t.Error("the handler still waits after 3 s, want it canceled within 50 ms")
	}
}

// pipes is a listener of in-memory connections.
type pipes struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Idle TLS clients that do not read must not hold up Shutdown beyond its context: the alert that ends TLS waits 5 s for each.
func TestShutdownIsNotHeldUpByIdleTLSClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 10
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := &http1.Server{Handler: handlerFunc(ok), HeaderTimeout: headerTimeout, IdleTimeout: idleTimeout}
		go func() { _ = s.Serve(l) }()
		for range clients {
			client, accepted := net.Pipe()
			l.conns <- tls.Server(accepted, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: tls.VersionTLS12})
			c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
			_, _ = io.WriteString(c, simple)
			response, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			defer func() { _ = client.Close() }()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_ = s.Shutdown(ctx)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("Shutdown took %s with %d idle clients, want at most its context's 3 s", took, clients)
		}
		s.Close()
	})
}
