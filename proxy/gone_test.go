package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy"
)

// hangingHandler is an upstream's handler that signals when a request has arrived and when its client has gone.
func hangingHandler(came, gone chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		came <- struct{}{}
		<-r.Context().Done()
		close(gone)
	}
}

func TestClientClosesBeforeResponse(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		came, gone := make(chan struct{}, 1), make(chan struct{})
		b := start(t, serve(t, kind, hangingHandler(came, gone)))
		c := b.dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody")
		brokertest.Receive(t, "the request", came)
		_ = c.Close()
		brokertest.Receive(t, "the upstream to notice", gone)
		if got := b.record(t); got.Status != proxy.StatusClientClosedRequest || got.ProxyError != "" || got.Broken || got.Upstream <= 0 || got.Duration < got.Upstream {
			t.Errorf("got %+v, want StatusClientClosedRequest, and the time at the upstream", got)
		}
	})
}

func TestClientClosesWhileWaitingForToken(t *testing.T) {
	tokens := &fakeTokens{waiting: make(chan struct{})}
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, func(s *setup) {
		s.Tokens, s.Retry, s.RetryBuffer = accounts{"": tokens}.tokens, true, 64<<10
	})
	for _, request := range []string{
		"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2048\r\n\r\n" + long[:2048],
	} {
		c := b.dial(t)
		c.send(request)
		brokertest.Receive(t, "the request to wait", tokens.waiting)
		_ = c.Close()
		if got := b.record(t); got.Status != proxy.StatusClientClosedRequest || got.ProxyError != "" || got.Upstream != 0 {
			t.Errorf("got %+v, want StatusClientClosedRequest, and nothing sent", got)
		}
	}
	if got := up.requests(); len(got) != 0 {
		t.Errorf("got %+v upstream, want nothing", got)
	}
}

// The upstream must not take a partial body for a complete one.
func TestClientClosesDuringUpload(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		for name, request := range map[string]string{
			"length":  "Content-Length: 1000\r\n\r\nhalf",
			"chunked": "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
			"chunk":   "Transfer-Encoding: chunked\r\n\r\n4\r\nha",
		} {
			t.Run(name, func(t *testing.T) {
				began, ended := make(chan struct{}), make(chan error, 1)
				b := start(t, serve(t, kind, func(_ http.ResponseWriter, r *http.Request) {
					close(began)
					_, err := io.Copy(io.Discard, r.Body)
					ended <- err
				}))
				c := b.dial(t)
				c.send("POST /x HTTP/1.1\r\nHost: localhost\r\n", request)
				brokertest.Receive(t, "the upload", began)
				_ = c.Close()
				if err := brokertest.Receive(t, "the upload's end", ended); err == nil {
					t.Error("got a complete upload, want an error")
				}
				if got := b.record(t); got.Status != proxy.StatusClientClosedRequest || got.ProxyError != "" {
					t.Errorf("got %+v, want StatusClientClosedRequest", got)
				}
			})
		}
	})
}

func TestClientClosesDuringResponse(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		gone := make(chan struct{})
		b := start(t, serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
			defer close(gone)
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		ctx, leave := context.WithCancel(t.Context())
		response, err := b.client.Do(b.request(t, "GET", "/x", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		leave()
		brokertest.Receive(t, "the upstream to notice", gone)
		if got := b.record(t); got.Status != 200 || !got.Broken || got.ProxyError != "" {
			t.Errorf("got %+v, want status 200 and Broken", got)
		}
	})
}

// A client that does not read must not hold the upstream after it has gone: here its receive window is full.
func TestStalledClientCloses(t *testing.T) {
	gone := make(chan struct{})
	b := start(t, serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
		defer close(gone)
		for piece := strings.Repeat("x", 1<<20); ; {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	}))
	c := b.dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if _, err := io.ReadFull(c.Reader, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	brokertest.Receive(t, "the upstream to notice", gone)
	if got := b.record(t); !got.Broken {
		t.Errorf("got %+v, want Broken", got)
	}
}

// A response whose last bytes do not reach the app is not complete, although all of it was written.
func TestRecordsResponseThatCouldNotBeSent(t *testing.T) {
	for path, status := range map[string]int{"/x": 200, "/@unknown/x": 404} {
		inBubble(t, validToken(), time.Minute, func(t *testing.T, b *bubble) {
			app, err := b.listener.Dial(t.Context(), "pipe", "")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(app, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			synctest.Wait() // the response is being sent
			_ = app.Close()
			if got := <-b.records; got.Status != status || !got.Broken {
				t.Errorf("%s: got %+v, want %d and Broken", path, got, status)
			}
		})
	}
}
