package soak

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// misbehaving are clients whose requests need not succeed, but which must not harm other clients.
type misbehaving struct {
	address, key string // of the broker, and its access key
	path         string // of a large response
	random       *rand.Rand

	slow, dying atomic.Int64 // connections so far
}

const (
	slowClients = 10                     // at a time
	slowPause   = 300 * time.Millisecond // between the bytes that one sends or reads
	slowLife    = 8 * time.Second
	dyingPause  = 200 * time.Millisecond // between two that die
)

// run connects until ctx is done.
func (m *misbehaving) run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	for i := range slowClients {
		group.Go(func() {
			for ctx.Err() == nil {
				m.crawl(ctx, i%2 == 0)
			}
		})
	}
	for {
		select {
		case <-time.After(dyingPause):
			m.die(m.random.IntN(3))
		case <-ctx.Done():
			return
		}
	}
}

func (m *misbehaving) head(method string) string {
	return method + " " + m.path + " HTTP/1.1\r\nHost: " + m.address + "\r\nAuthorization: Bearer " + m.key + "\r\n"
}

// crawl sends a request byte by byte, or reads its response like that, for a while.
func (m *misbehaving) crawl(ctx context.Context, sends bool) {
	conn, err := net.Dial("tcp", m.address)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	m.slow.Add(1)
	text := m.head("GET") + "\r\n"
	if !sends {
		_, _ = io.WriteString(conn, text)
	}
	life := time.After(slowLife)
	for i := range text {
		select {
		case <-time.After(slowPause):
		case <-life:
			return
		case <-ctx.Done():
			return
		}
		_ = conn.SetDeadline(time.Now().Add(slowPause))
		if sends {
			_, err = io.WriteString(conn, text[i:i+1])
		} else {
			_, err = conn.Read(make([]byte, 1))
		}
		if err != nil {
			return
		}
	}
}

// die resets a connection within a head, within a body, or before the response has been read.
func (m *misbehaving) die(when int) {
	conn, err := net.Dial("tcp", m.address)
	if err != nil {
		return
	}
	m.dying.Add(1)
	_, _ = io.WriteString(conn, []string{
		m.head("GET")[:30],
		m.head("POST") + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 1000),
		m.head("GET") + "\r\n",
	}[when])
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset and not an orderly end
	_ = conn.Close()
}
