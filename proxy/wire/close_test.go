package wire_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/wire"
)

// network is a kind of connection of the real world.
type network struct {
	listen func(t *testing.T) net.Listener
	dial   func(address string) (net.Conn, error)
}

var certificate = func() tls.Certificate {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return server.TLS.Certificates[0]
}()

var networks = map[string]network{
	"tcp": {
		func(t *testing.T) net.Listener { return listen(t, "tcp", "127.0.0.1:0") },
		func(address string) (net.Conn, error) { return net.Dial("tcp", address) },
	},
	"unix": {
		func(t *testing.T) net.Listener { return listen(t, "unix", filepath.Join(t.TempDir(), "s")) },
		func(address string) (net.Conn, error) { return net.Dial("unix", address) },
	},
	"tls": {
		func(t *testing.T) net.Listener {
			return tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), &tls.Config{Certificates: []tls.Certificate{certificate}})
		},
		func(address string) (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		},
	},
}

func listen(t *testing.T, network, address string) net.Listener {
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serveOn serves on a real network.
func serveOn(t *testing.T, n network, limit int, evicted func(), handler http.HandlerFunc) (address string) {
	l := wire.NewListener(n.listen(t), limit, evicted)
	server := &http.Server{Handler: handler, ConnState: wire.ConnState, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// The answer to what is at fault arrives, also at a client that goes on sending.
func TestAnswerIsNotLost(t *testing.T) {
	for name, network := range networks {
		for what, bad := range map[string]string{
			"header": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Length: 9\r\n\r\n",
			"chunk":  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nbad\n",
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				address := serveOn(t, network, 0, nil, ok)
				for range 5 {
					c, err := network.dial(address)
					if err != nil {
						t.Fatal(err)
					}
					go func() { _, _ = io.WriteString(c, bad+strings.Repeat("x", 100<<10)) }() // it may be cut off
					time.Sleep(time.Millisecond)                                               // so that a reset would have come before the answer is read
					response, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Fatal(err)
					}
					if response.StatusCode/100 != 4 || !response.Close {
						t.Errorf("%d", response.StatusCode)
					}
					_, _ = io.Copy(io.Discard, response.Body)
					if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // a reset, before which the answer may have been lost
						t.Fatal(err)
					}
					_ = c.Close()
				}
			})
		}
	}
}

// Every kind of connection is served, kept alive, half closed, and closed to make room.
func TestNetworks(t *testing.T) {
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			evicted := make(chan struct{}, 1)
			address := serveOn(t, network, 1, func() { evicted <- struct{}{} }, ok)
			c, err := network.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			reader := bufio.NewReader(c)
			for range 3 {
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100000))
				response, err := http.ReadResponse(reader, nil)
				if err != nil || response.StatusCode != 200 {
					t.Fatal(err, response)
				}
			}
			began := time.Now()
			second, err := network.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = second.Close() }()
			_, _ = io.WriteString(second, simple)
			if response, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil || response.StatusCode != 200 {
				t.Fatal(err, response)
			}
			<-evicted
			if took := time.Since(began); took < patience/2 {
				t.Errorf("closed after %s", took)
			}
			if _, err := reader.ReadByte(); err == nil {
				t.Error("the first is still open")
			}
		})
	}
}

// net/http finds CloseWrite, and what wants to know more about the connection finds that.
func TestInnerConnection(t *testing.T) {
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			l := wire.NewListener(network.listen(t), 0, nil)
			defer func() { _ = l.Close() }()
			go func() {
				if c, err := network.dial(l.Addr().String()); err == nil {
					_, _ = io.WriteString(c, simple)
					_, _ = io.Copy(io.Discard, c) // until it is half closed
					_, _ = io.WriteString(c, simple)
				}
			}()
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, isTLS := c.(interface{ NetConn() net.Conn }).NetConn().(*tls.Conn)
			if isTLS != (name == "tls") {
				t.Error("not the inner connection")
			}
			buffer := make([]byte, 100)
			if n, err := c.Read(buffer); err != nil || string(buffer[:n]) != simple {
				t.Fatalf("%q, %v", buffer[:n], err)
			}
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := io.ReadFull(c, buffer[:len(simple)]); err != nil {
				t.Errorf("after it: %q, %v", buffer[:n], err)
			}
		})
	}
}

// A connection that lingers counts, and is the first to go.
func TestLingeringMakesRoom(t *testing.T) {
	network := networks["tcp"]
	evicted := make(chan struct{}, 1)
	address := serveOn(t, network, 1, func() { evicted <- struct{}{} }, ok)
	first, err := network.dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	_, _ = io.WriteString(first, "\n")
	if text, err := io.ReadAll(first); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 400") {
		t.Fatalf("%q, %v", text, err)
	}
	began := time.Now()
	second, err := network.dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	_, _ = io.WriteString(second, simple)
	if response, err := http.ReadResponse(bufio.NewReader(second), nil); err != nil || response.StatusCode != 200 {
		t.Fatal(err, response)
	}
	if took := time.Since(began); len(evicted) != 1 || took > patience {
		t.Errorf("%d closed, after %s", len(evicted), took)
	}
}

// A read that a deadline breaks off is taken up again where it was, wherever that is.
func TestDeadlines(t *testing.T) {
	text := simple + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" + chunkedRequest + "4\r\nbody\r\n0\r\nA: b\r\n\r\n" + simple
	synctest.Test(t, func(t *testing.T) {
		inner := fakeetrusted.NewListener()
		l := wire.NewListener(inner, 0, nil)
		defer func() { _ = l.Close() }()
		go func() {
			c, err := inner.Dial(context.Background(), "", "")
			if err != nil {
				return
			}
			for i := range len(text) {
				time.Sleep(time.Second)
				_, _ = io.WriteString(c, text[i:i+1])
			}
			_ = c.Close()
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		var got []byte
		buffer := make([]byte, 3)
		deadlines := 0
		inHeader := false
		for {
			// A deadline in the middle of a header that net/http waits for is not taken up again: see TestHalfHeader.
			_ = c.SetReadDeadline(time.Time{})
			if !inHeader {
				_ = c.SetReadDeadline(time.Now().Add(time.Second / 2))
			}
			n, err := c.Read(buffer)
			got = append(got, buffer[:n]...)
			inHeader = strings.HasSuffix(string(got), "GET ") || strings.HasSuffix(string(got), "POST") || len(got) < 4
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				continue
			}
			deadlines++
			if network, is := err.(net.Error); !is || !network.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) { //nolint:errorlint // as net/http looks at it
				t.Fatal(err)
			}
		}
		if string(got) != text {
			t.Errorf("%q", got)
		}
		if deadlines == 0 {
			t.Error("no deadline passed")
		}
	})
}
