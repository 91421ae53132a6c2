package http1_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// Row E11: 3,000 pipelined requests are answered in order, one at a time, whatever they are, and after a malformed one nothing
// is served.
func TestAnswersPipelinedRequestsInOrder(t *testing.T) {
	const count = 3000
	for name, network := range networks {
		t.Run(name, func(t *testing.T) {
			var running atomic.Int32
			s := serveOn(t, network, func(w *http1.ResponseWriter, r *http1.Request) {
				if running.Add(1) != 1 {
					t.Error("two requests of a connection are served at the same time")
				}
				defer running.Add(-1)
				if r.Malformed != nil || r.Method == "PUT" {
					respond(w, 400, "refused")
					return
				}
				body, _ := io.ReadAll(r.Body)
				respond(w, 200, r.Target+string(body))
			}, nil)
			c := s.dial(t)
			go func() {
				var all strings.Builder
				for i := range count {
					switch i % 4 {
					case 0:
						_, _ = fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
					case 1:
						_, _ = fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nbody.", i)
					case 2:
						_, _ = fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody.\r\n0\r\n\r\n", i)
					case 3: // refused, with an unread body that looks like a request
						_, _ = fmt.Fprintf(&all, "PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, len(simple), simple)
					}
				}
				_, _ = io.WriteString(c, all.String()+"GET / HTTP/1.1\nHost: a\r\n\r\n"+strings.Repeat(simple, 100))
			}()
			for i := range count {
				want := fmt.Sprintf("/%d", i)
				switch i % 4 {
				case 1, 2:
					want += "body."
				case 3:
					want = "refused"
				}
				if _, body := c.response("GET"); body != want {
					t.Fatalf("response %d: got %q, want %q", i, body, want)
				}
			}
			c.expectStatus(400)
			c.expectEnd()
		})
	}
}

// Clients that hold all connections with half a header, half a body, or unread responses do not keep others out.
func TestServesOthersDuringSlowloris(t *testing.T) {
	const maxConns, attackers, requests = 10, 20, 5
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		if path(r) == "/much" {
			w.WriteHead(200, "OK", -1)
			for {
				if _, err := w.Write(make([]byte, 16<<10)); err != nil {
					return
				}
			}
		}
		ok(w, r)
	}, func(s *http1.Server) { s.MaxConns = maxConns })
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range attackers {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := s.network.dial(s.address)
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, []string{"GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "GET /much HTTP/1.1\r\nHost: a\r\n\r\n", ""}[i%4])
				for ctx.Err() == nil {
					if _, err := c.Write([]byte("x")); err != nil {
						break
					}
					select {
					case <-ctx.Done():
					case <-time.After(10 * time.Millisecond):
					}
				}
				_ = c.Close()
			}
		})
	}
	for range requests {
		c := s.dial(t)
		c.send(simple)
		c.expectStatus(200)
		_ = c.Close()
	}
	stop()
	all.Wait()
}

// Clients that reset their connections at any point leave nothing behind.
func TestResetsLeaveNothingBehind(t *testing.T) {
	for _, name := range []string{"tcp", "tls"} {
		s := serveOn(t, networks[name], func(w *http1.ResponseWriter, r *http1.Request) {
			if r.Malformed == nil && path(r) == "/wait" {
				<-r.Context().Done()
				return
			}
			ok(w, r)
		}, nil)
		texts := []string{"", "G", simple[:20], simple, simple + simple, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n", chunkedRequest + "5\r\nab",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\nxx", expecting, "\x00", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\nxx"}
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range 50 {
					c, err := s.network.dial(s.address)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(c, texts[(i+worker)%len(texts)])
					if i%3 == 0 {
						time.Sleep(15 * time.Millisecond)
					}
					(&clientConn{Conn: c}).reset()
				}
			})
		}
		all.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("%s: Shutdown: got %v, want nil: a connection is left", name, err)
		}
	}
}
