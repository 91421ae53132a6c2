package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// If the upstream refuses a slow upload, the app must see that at once.
func TestForwardsEarlyResponseDuringSlowUpload(t *testing.T) {
	t.Parallel()
	forAllKinds(t, func(t *testing.T, kind string) {
		seen := make(chan struct{})
		defer close(seen)
		up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 10))
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, "early")
			_ = http.NewResponseController(w).Flush()
			<-seen
		})
		c := start(t, up).dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n0123456789")
		if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 413") {
			t.Errorf("got %q, want 413", head)
		}
	})
}

// After an early response, the rest of the upload must not be taken for a request, so the connection is closed, and says so. A
// complete upload keeps it open.
func TestClosesConnectionAfterEarlyResponse(t *testing.T) {
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if request.URL.Path == "/whole" {
			_, _ = io.Copy(io.Discard, request.Body)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, r)
	})
	b := start(t, "http://"+addr)
	for request, closes := range map[string]bool{
		"POST /whole HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("all"): false,
		"POST /part HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n":      true,
		"POST /part HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\npart":                        true,
	} {
		c := b.dial(t)
		c.send(request)
		if got := c.result("POST"); got.status != 409 || got.closes != closes {
			t.Errorf("%q: got %d, closes %v, want 409, closes %v", request, got.status, got.closes, closes)
		}
	}
}

// 100 and 103 at the same time would be written to the app's connection by two goroutines.
func TestContinueDoesNotRaceWithEarlyResponse(t *testing.T) {
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		for {
			_, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
			_, _ = io.ReadFull(r, make([]byte, 4))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	b := start(t, "http://"+addr)
	for range 200 {
		c := b.dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
		if head := c.head(); head != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("got %q, want 100", head)
		}
		c.send("body")
		if a := c.result("POST"); a.status != 200 {
			t.Fatalf("got %d, want 200", a.status)
		}
	}
}

// An upstream that begins its response while it still reads must get every byte of the upload.
func TestUploadIsCompleteDespiteEarlyResponse(t *testing.T) {
	t.Parallel()
	forAllKinds(t, func(t *testing.T, kind string) {
		for range 20 {
			answering := make(chan struct{})
			sent := make(chan struct{})
			got := make(chan string, 1)
			up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				_ = rc.EnableFullDuplex() // an error over HTTP/2, which always is
				_, _ = io.ReadFull(r.Body, make([]byte, 5))
				_ = rc.Flush()
				close(answering)
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("got %v at the upstream, want the whole upload", err)
				}
				got <- string(body)
			})
			c := start(t, up).dial(t)
			c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
			<-answering
			go func() {
				defer close(sent)
				for range 5000 {
					_, _ = io.WriteString(c.Conn, "5\r\n-more\r\n")
				}
				_, _ = io.WriteString(c.Conn, "0\r\n\r\n")
			}()
			a := c.result("POST")
			want := strings.Repeat("-more", 5000)
			if up := brokertest.Receive(t, "the upload", got); up != want || a.status != 200 {
				t.Errorf("upstream got %d bytes of %d, without an error", len(up), len(want))
			}
			<-sent
		}
	})
}

// An upstream that refuses an upload may close the connection while it arrives, which resets it. Its response still counts.
func TestForwardsRefusalBeforeReset(t *testing.T) {
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")
		}
	})
	b := start(t, "http://"+addr)
	for range 20 {
		c := b.dial(t)
		go func() {
			_, _ = io.WriteString(c.Conn, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n"+long)
		}()
		if got := c.result("POST"); got.status != 413 || got.body != "no!" || got.err != nil {
			t.Fatalf("got %d %q, %v, want the refusal of the API", got.status, got.body, got.err)
		}
	}
}

// An app whose upload pauses must learn at once that the API has gone.
func TestReportsUpstreamThatClosesDuringPause(t *testing.T) {
	for name, text := range map[string]string{"closes": "", "no HTTP": "nonsense\r\n"} {
		addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
			if request, err := http.ReadRequest(r); err == nil {
				_, _ = io.ReadFull(request.Body, make([]byte, 4))
				_, _ = io.WriteString(c, text)
			}
		})
		b := start(t, "http://"+addr)
		c := b.dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		if got := c.result("POST"); got.status != 502 || !got.closes {
			t.Errorf("%s: got %d %s, want 502 and the connection closed", name, got.status, got.body)
		}
	}
}
