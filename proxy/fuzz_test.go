package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// FuzzRawRequest sends any bytes to the broker. Whatever it makes of them, what goes upstream must be whole requests,
// each with the one token, for the one host, and no more of them than were let in.
func FuzzRawRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET //a%2fb;{}?%zz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer app\r\n\r\n",
		"GET http://localhost?q HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
		"GET http://elsewhere.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]\r\nConnection: Authorization, Via\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbodyGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n4\r\nbody\r\n0\r\nAuthorization: x\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
		"GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /\xc3\xa4 HTTP/1.1\nHost: localhost\nX: a\n b\n\n",
		"M-SEARCH /..\\x HTTP/1.1\r\nHost: LOCALHOST.\r\nTE: trailers\r\nVia: 1.1 x\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}

	var arrived, sent atomic.Int64 // at the upstream, and from the broker
	wrong := make(chan string, 1)
	complain := func(format string, args ...any) {
		select {
		case wrong <- fmt.Sprintf(format, args...):
		default: // the first is enough
		}
	}
	var host string
	up := serve(f, h1, func(_ http.ResponseWriter, r *http.Request) {
		if n, m := arrived.Add(1), sent.Load(); n > m {
			complain("the upstream found %d requests in %d", n, m)
		}
		_, _ = io.Copy(io.Discard, r.Body) // the trailers come after it
		via := r.Header["Via"]
		switch {
		case !slices.Equal(r.Header["Authorization"], []string{authorization}), r.Trailer["Authorization"] != nil:
			complain("Authorization %q, in the trailer %q", r.Header["Authorization"], r.Trailer["Authorization"])
		case r.Host != host:
			complain("Host %q", r.Host)
		case !isToken(r.Method) || r.Method == "CONNECT" || r.Method == "TRACE":
			complain("method %q", r.Method)
		case len(via) == 0 || via[len(via)-1] != "1.1 etrusted-broker":
			complain("Via %q", via)
		case r.Header["Origin"] != nil || r.Header["Upgrade"] != nil || r.Header["Proxy-Authorization"] != nil || r.Header["X-Forwarded-For"] != nil:
			complain("header %v", r.Header)
		}
	})
	host = strings.TrimPrefix(up, "http://")
	b := start(f, up, func(s *setup) {
		s.wrap = func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), incomingKey{}, &incoming{target: r.RequestURI})))
			})
		}
		s.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			sent.Add(1)
			from := r.Context().Value(incomingKey{}).(*incoming)
			if n := from.sent.Add(1); n > 1 {
				complain("sent %d times", n)
			}
			// In absolute-form the target goes on without scheme and host, and never without a path.
			target := r.URL.RequestURI()
			same := target == from.target
			if from.target[0] != '/' {
				same = strings.HasSuffix(from.target, strings.TrimPrefix(target, "/"))
			}
			if !same {
				complain("sent to %q for %q", target, from.target)
			}
			if r.URL.Host != host || r.Host != host || r.URL.Scheme != "http" {
				complain("sent to %v", r.URL)
			}
			return s.transport.RoundTrip(r)
		})
		const brief = 20 * time.Millisecond // what waits for more bytes is cut off
		s.server.ReadHeaderTimeout, s.server.ReadTimeout, s.server.IdleTimeout = brief, brief, brief
		s.server.ErrorLog = log.New(io.Discard, "", 0)
	})

	f.Fuzz(func(t *testing.T, data []byte) {
		c := b.dial(t)
		_, _ = c.Write(data) // may break off
		// The first request is given the time to be answered: one whose client hangs up is not sent on.
		for {
			response, err := http.ReadResponse(c.r, nil)
			if err == nil && response.StatusCode < 200 {
				continue
			}
			if err == nil {
				_ = response.Body.Close()
			}
			break
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c.r)
		select {
		case what := <-wrong:
			t.Error(what)
		default:
		}
	})
}

// incoming is a request as it came to the broker, and how often it was sent on.
type incoming struct {
	target string
	sent   atomic.Int64
}

type incomingKey struct{}

// isToken is RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}
