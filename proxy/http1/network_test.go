package http1_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// network is a kind of connection.
type network struct {
	listen func(t testing.TB) net.Listener
	dial   func(address string) (net.Conn, error)
}

var certificate = func() tls.Certificate {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return server.TLS.Certificates[0]
}()

var networks = map[string]network{
	"tcp": {
		func(t testing.TB) net.Listener { return brokertest.Listen(t, "tcp", "127.0.0.1:0") },
		func(address string) (net.Conn, error) { return net.Dial("tcp", address) },
	},
	"unix": {
		func(t testing.TB) net.Listener { return brokertest.Listen(t, "unix", filepath.Join(t.TempDir(), "s")) },
		func(address string) (net.Conn, error) { return net.Dial("unix", address) },
	},
	"tls": {
		func(t testing.TB) net.Listener {
			return tls.NewListener(brokertest.Listen(t, "tcp", "127.0.0.1:0"), &tls.Config{Certificates: []tls.Certificate{certificate}})
		},
		func(address string) (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		},
	},
}

// netServer is a server on a real network.
type netServer struct {
	*http1.Server
	network network
	address string
}

// serveOn serves on a real network. configure, if not nil, may change the server before.
func serveOn(t testing.TB, n network, handler handlerFunc, configure func(*http1.Server)) *netServer {
	t.Helper()
	l := n.listen(t)
	s := &netServer{newServer(handler), n, l.Addr().String()}
	if configure != nil {
		configure(s.Server)
	}
	t.Cleanup(serve(t, s.Server, l))
	return s
}

// dial connects to the server. No test waits longer than 10 s on the connection.
func (s *netServer) dial(t testing.TB) *clientConn {
	t.Helper()
	c, err := s.network.dial(s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return newClientConn(t, c, func() {})
}

// Every kind of connection is served, kept alive, and closed to make room.
func TestServesAllNetworks(t *testing.T) {
	t.Parallel()
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			evicted := make(chan struct{}, 1)
			s := serveOn(t, network, ok, func(s *http1.Server) {
				s.MaxConns, s.OnEvict = 1, func() { evicted <- struct{}{} }
			})
			c := s.dial(t)
			for range 3 {
				c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000))
				c.expectStatus(200)
				c.send(chunkedRequest + "186a0\r\n" + strings.Repeat("x", 100000) + "\r\n0\r\n\r\n" + simple)
				c.expectStatus(200)
				c.expectStatus(200)
			}
			second := s.dial(t)
			second.send(simple)
			second.expectStatus(200)
			<-evicted
			if _, err := c.reader.ReadByte(); err == nil {
				t.Error("the first connection is still open")
			}
		})
	}
}

// Row E31: the answer to a malformed request arrives, also at a client that goes on sending, and what it sends is not served.
func TestAnswerToMalformedRequestIsNotLost(t *testing.T) {
	for name, network := range networks {
		for what, bad := range map[string]string{
			"header": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Length: 9\r\n\r\n",
			"chunk":  chunkedRequest + "bad\n",
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := serveOn(t, network, ok, nil)
				for range 5 {
					c := s.dial(t)
					go func() { _, _ = io.WriteString(c, bad+strings.Repeat(simple, 3000)) }() // it may be cut off
					time.Sleep(time.Millisecond)                                               // a reset would come before the answer is read
					response, _ := c.response("GET")
					if response.StatusCode/100 != 4 || !response.Close {
						t.Errorf("got %d, close=%t, want 4xx and Connection: close", response.StatusCode, response.Close)
					}
					c.expectEnd()
				}
			})
		}
	}
}

// What a client sends after it has been refused must not cost it the response.
func TestLateBytesDoNotCostTheResponse(t *testing.T) {
	t.Parallel()
	refuse := func(w *http1.ResponseWriter, r *http1.Request) {
		w.Close = r.ContentLength >= 0
		respond(w, 403, "refused")
	}
	for name, network := range networks {
		for what, request := range map[string]string{
			"CONNECT":     "CONNECT refused:443 HTTP/1.1\r\nHost: a\r\n\r\n",
			"malformed":   "GET /\r\n\r\n",
			"half a body": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
			"long body":   chunkedRequest + "100000\r\n" + strings.Repeat("x", 300<<10),
			"pipelined":   get + get,
			"Expect":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n",
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				c := serveOn(t, network, refuse, nil).dial(t)
				c.sendLate(request)
				if response, body := c.response("GET"); response.StatusCode != 403 || body != "refused" || response.Close != (what != "long body") {
					t.Errorf("got %d, %q, close=%t, want 403", response.StatusCode, body, response.Close)
				}
				c.expectEnd()
			})
		}
	}
}

// A client that goes on sending after a malformed request is read for 256 KiB or half a second, not longer.
func TestLingeringIsBounded(t *testing.T) {
	t.Parallel()
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			s := serveOn(t, network, ok, nil)
			flood, drip := s.dial(t), s.dial(t)
			sent := 0
			flood.send("\n")
			for ; sent < 64<<20; sent += 64 << 10 {
				if _, err := flood.Write(make([]byte, 64<<10)); err != nil {
					break
				}
			}
			if sent == 64<<20 {
				t.Error("64 MiB behind a malformed request were read")
			}
			began := time.Now()
			drip.send("\n")
			for time.Since(began) < 5*time.Second {
				if _, err := drip.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Error("a client that drips keeps the connection open for 5 s")
		})
	}
}

// A connection that lingers counts, and is the first one to make room.
func TestLingeringMakesRoom(t *testing.T) {
	evicted := make(chan struct{}, 1)
	s := serveOn(t, networks["tcp"], ok, func(s *http1.Server) { s.MaxConns, s.OnEvict = 1, func() { evicted <- struct{}{} } })
	first := s.dial(t)
	first.send("\n")
	first.expectStatus(400)
	first.expectEnd()
	second := s.dial(t)
	second.send(simple)
	second.expectStatus(200)
	if len(evicted) != 1 {
		t.Errorf("%d connections were evicted, want 1", len(evicted))
	}
}

// Row C32: an unread body of up to 256 KiB is read and discarded, and the connection stays in sync; more ends the connection. In
// no case is the body read as a request.
func TestUnreadBodyIsNotServedAsRequest(t *testing.T) {
	refuse := func(w *http1.ResponseWriter, r *http1.Request) {
		if r.Method == "POST" {
			respond(w, 403, "no")
			return
		}
		if path(r) == "/in-body" {
			t.Error("a body was served as a request")
		}
		ok(w, r)
	}
	const inBody = "GET /in-body HTTP/1.1\r\nHost: a\r\n\r\n"
	small := strings.Repeat(inBody, 1000)
	large := strings.Repeat(inBody, (300<<10)/len(inBody)+1)
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			s := serveOn(t, network, refuse, nil)
			for what, test := range map[string]struct {
				request string
				kept    bool
			}{
				"small":        {"Content-Length: " + decimal(len(small)) + "\r\n\r\n" + small, true},
				"256 KiB":      {"Content-Length: 262144\r\n\r\n" + large[:256<<10], true},
				"small chunk":  {"Transfer-Encoding: chunked\r\n\r\n" + hexadecimal(len(small)) + "\r\n" + small + "\r\n0\r\n\r\n", true},
				"large":        {"Content-Length: " + decimal(len(large)) + "\r\n\r\n" + large, false},
				"large chunk":  {"Transfer-Encoding: chunked\r\n\r\n" + hexadecimal(len(large)) + "\r\n" + large + "\r\n0\r\n\r\n", false},
				"Expect":       {"Expect: 100-continue\r\nContent-Length: " + decimal(len(small)) + "\r\n\r\n" + small, false},
				"broken chunk": {"Transfer-Encoding: chunked\r\n\r\n1\r\nxx" + inBody, false},
			} {
				c := s.dial(t)
				go func() { _, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+test.request+simple) }() // it may be cut off
				response, _ := c.response("GET")
				if response.StatusCode != 403 {
					t.Errorf("%s: got %d, want 403", what, response.StatusCode)
				}
				if !test.kept {
					if said := what != "large chunk" && what != "broken chunk"; response.Close != said {
						t.Errorf("%s: got close=%t, want %t", what, response.Close, said)
					}
					if rest, _ := io.ReadAll(c.reader); len(rest) > 0 { // a reset is possible: there is more than what lingering reads
						t.Errorf("%s: got %q after the response, want nothing", what, rest)
					}
					continue
				}
				c.expectStatus(200)
			}
		})
	}
}

// Line 19 of the contract: what follows a response with Connection: close is never read as a request.
func TestNothingIsServedAfterClose(t *testing.T) {
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			served := make(chan string, 10)
			s := serveOn(t, network, func(w *http1.ResponseWriter, r *http1.Request) {
				served <- r.Target
				w.Close = path(r) == "/last"
				ok(w, r)
			}, nil)
			for _, last := range []string{"GET /last HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"} {
				c := s.dial(t)
				go func() { _, _ = io.WriteString(c, last+strings.Repeat(simple, 100)) }()
				response, body := c.response("GET")
				if response.StatusCode != 200 || !response.Close || body != "ok" {
					t.Errorf("got %d, %q, close=%t, want 200 and Connection: close", response.StatusCode, body, response.Close)
				}
				c.expectEnd()
				<-served
				if len(served) > 0 {
					t.Errorf("%s was served after the last request", <-served)
				}
			}
		})
	}
}

// Without a length, only the end of the connection ends a response to HTTP/1.0: it must be a reset if the server ends it early.
func TestCutCloseDelimitedResponseLooksIncomplete(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *netServer){
		"evicted": func(s *netServer) {
			c := s.dial(t)
			c.send(simple)
			c.expectStatus(200)
		},
		"closed": func(s *netServer) { s.Close() },
	} {
		for _, network := range []string{"tcp", "tls"} {
			t.Run(name+" "+network, func(t *testing.T) {
				s := serveOn(t, networks[network], hold, func(s *http1.Server) { s.MaxConns = 1 })
				c := s.dial(t)
				c.send("GET /much HTTP/1.0\r\n\r\n")
				time.Sleep(time.Second) // until the server waits for the client
				end(s)
				if n, err := io.Copy(io.Discard, c.reader); err == nil {
					t.Errorf("got a clean end after %d bytes", n)
				}
			})
		}
	}
}
