package http1_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// tunnelHandler opens a tunnel for CONNECT, and answers other requests with what it knows about them.
func tunnelHandler(w *http1.ResponseWriter, r *http1.Request) {
	switch {
	case r.Malformed != nil:
		respond(w, r.Malformed.Status, r.Malformed.Code)
	case r.Method == http.MethodConnect && r.Target == "refused:443":
		respond(w, 403, "refused")
	case r.Method == http.MethodConnect && r.Tunnel == nil:
		if path(r) == "slow:443" {
			time.Sleep(50 * time.Millisecond) // long enough for the watch
		}
		w.OpenTunnel(&tls.Config{Certificates: []tls.Certificate{certificate}}, r.Target)
	default:
		if path(r) == "/slow" {
			<-r.Context().Done()
			return
		}
		tunnel, _ := r.Tunnel.(string)
		body, _ := io.ReadAll(r.Body)
		respond(w, 200, r.Method+" "+r.Target+" "+tunnel+" "+string(body))
	}
}

const connect = "CONNECT api:443 HTTP/1.1\r\nHost: api:443\r\n\r\n"

// A CONNECT that is accepted continues with TLS inside, and its requests carry the tunnel.
func TestServesRequestsInTunnels(t *testing.T) {
	t.Parallel()
	for name, network := range networks {
		for _, target := range []string{"api:443", "slow:443"} {
			t.Run(name+" "+target, func(t *testing.T) {
				s := serveOn(t, network, tunnelHandler, nil)
				c := s.dial(t)
				c.send(get) // the connection has been used before
				c.expectStatus(200)
				inner := c.enter("CONNECT " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
				for range 3 {
					inner.send("POST /x HTTP/1.1\r\nHost: api\r\nContent-Length: 4\r\n\r\nbody" + simple)
					if _, body := inner.response("POST"); body != "POST /x "+target+" body" {
						t.Errorf("got %q", body)
					}
					if _, body := inner.response("GET"); body != "GET /simple "+target+" " {
						t.Errorf("got %q", body)
					}
					time.Sleep(20 * time.Millisecond)
				}
				inner.send("GET / HTTP/1.1\nHost: a\r\n\r\n")
				inner.expectStatus(400)
				inner.expectEnd()
			})
		}
	}
}

// What follows a CONNECT is not its body, whatever its fields say: RFC 9110 section 9.3.6.
func TestConnectHasNoBody(t *testing.T) {
	for _, framing := range []string{"Content-Length: 5\r\n", "Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n"} {
		s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
			if r.Tunnel == nil && (r.ContentLength != 0 || !r.Body.Complete()) {
				t.Errorf("%s: got a body of length %d, complete: %t", framing, r.ContentLength, r.Body.Complete())
			}
			tunnelHandler(w, r)
		}, nil)
		inner := s.dial(t).enter("CONNECT api:443 HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n")
		inner.send(simple)
		inner.expectStatus(200)
	}
}

// A client may send the first bytes of TLS before it has the response.
func TestTunnelTakesEarlyBytes(t *testing.T) {
	for _, target := range []string{"api:443", "slow:443"} {
		for _, pause := range []time.Duration{0, 20 * time.Millisecond} {
			c := serveOn(t, networks["tcp"], tunnelHandler, nil).dial(t)
			near, far := net.Pipe()
			inner := newClientConn(t, tls.Client(near, &tls.Config{InsecureSkipVerify: true}), func() {})
			go func() { _, _ = io.WriteString(inner, simple) }()
			request, hello := "CONNECT "+target+" HTTP/1.1\r\nHost: a\r\n\r\n", make([]byte, 4<<10)
			n, _ := far.Read(hello)
			if pause > 0 {
				c.send(request)
				time.Sleep(pause)
				request = ""
			}
			c.send(request + string(hello[:n]))
			c.expectTunnel()
			go func() { _, _ = io.Copy(c, far) }()
			go func() {
				_, _ = io.Copy(far, c.reader)
				_ = far.Close()
			}()
			inner.expectStatus(200)
			_ = near.Close()
		}
	}
}

// Row B14: after a CONNECT that is refused, nothing is read as a request, whatever it looks like.
func TestNothingIsServedAfterRefusedConnect(t *testing.T) {
	for name, network := range networks {
		for what, early := range map[string]string{"request": simple, "NUL": "\x00\x00", "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "much": strings.Repeat(simple, 1000)} {
			for _, framing := range []string{"", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"} {
				s := serveOn(t, network, tunnelHandler, nil)
				c := s.dial(t)
				c.send("CONNECT refused:443 HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n" + early)
				response, body := c.response("GET")
				if response.StatusCode != 403 || body != "refused" || !response.Close {
					t.Errorf("%s, %s: got %d, %q, close=%t", name, what, response.StatusCode, body, response.Close)
				}
				c.expectEnd()
			}
		}
	}
}

// Some clients, such as Node's undici, use CONNECT for http URLs too.
func TestServesPlainHTTPInTunnel(t *testing.T) {
	s := serveOn(t, networks["tcp"], tunnelHandler, nil)
	for _, together := range []bool{true, false} {
		c := s.dial(t)
		if together {
			c.send(connect + simple)
		} else {
			c.send(connect)
		}
		c.expectTunnel()
		if !together {
			c.send(simple)
		}
		for range 2 {
			response, body := c.response("GET")
			if want := "GET /simple api:443 "; response.StatusCode != 200 || body != want || response.Close {
				t.Errorf("got %d, %q, close=%t, want 200, %q and an open connection", response.StatusCode, body, response.Close, want)
			}
			c.send(simple)
		}
	}
}

// Shutdown closes idle tunnels, and those without a request after a second.
func TestShutdownClosesTunnels(t *testing.T) {
	t.Parallel()
	s := serveOn(t, networks["tcp"], tunnelHandler, nil)
	idle, silent, half := s.dial(t).enter(connect), s.dial(t).enter(connect), s.dial(t)
	idle.send(simple)
	idle.expectStatus(200)
	half.send(connect)
	half.expectTunnel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: got %v, want nil", err)
	}
	for _, c := range []*clientConn{idle, silent, half} {
		c.expectEnd()
	}
}

// Row F10: plain HTTP on a TLS listener gets an answer that the client understands.
func TestPlainHTTPOnTLSListenerGets400(t *testing.T) {
	errs := make(chan error, 10)
	s := serveOn(t, networks["tls"], ok, func(s *http1.Server) { s.OnHandshakeError = func(err error) { errs <- err } })
	s.network = networks["tcp"]
	for _, request := range []string{simple, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000)} {
		c := s.dial(t)
		go func() { _, _ = io.WriteString(c, request) }() // its end may not be read
		response, body := c.response("GET")
		if response.StatusCode != 400 || body != "plain-http" || !response.Close {
			t.Errorf("got %d, %q, close=%t, want 400 and plain-http", response.StatusCode, body, response.Close)
		}
		c.expectEnd()
		if len(errs) > 0 {
			t.Errorf("OnHandshakeError: got %v, want no call: it is a malformed request", <-errs)
		}
	}
	for _, text := range []string{"\x00\x00\x00\x00\x00", "GET", "\x16\x03\x01\x00\x05hello"} {
		c := s.dial(t)
		c.send(text)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(c.reader); strings.Contains(string(got), "HTTP") {
			t.Errorf("%q: got %q, want no HTTP", text, got)
		}
		if err := <-errs; err == nil {
			t.Errorf("%q: OnHandshakeError: got nil", text)
		}
	}
	// A health check connects, and closes.
	_ = s.dial(t).Close()
	// A certificate that the client does not trust.
	plain := s.dial(t)
	if err := tls.Client(plain.Conn, &tls.Config{ServerName: "example.com"}).Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
	if err := <-errs; err == nil {
		t.Error("OnHandshakeError: got nil")
	}
}

// Line 21 of the contract: a TLS handshake has HeaderTimeout, and so has the header after it.
func TestHandshakeHasHeaderTimeout(t *testing.T) {
	for _, sent := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		errs := make(chan error, 1)
		s := serveOn(t, networks["tls"], ok, func(s *http1.Server) {
			s.HeaderTimeout, s.OnHandshakeError = 50*time.Millisecond, func(err error) { errs <- err }
		})
		s.network = networks["tcp"]
		c := s.dial(t)
		c.send(sent)
		var timeout net.Error
		if err := <-errs; !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("OnHandshakeError: got %v, want a timeout", err)
		}
		if text, _ := io.ReadAll(c.reader); strings.Contains(string(text), "HTTP") {
			t.Errorf("got %q", text)
		}
	}
}
