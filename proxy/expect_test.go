package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

const expectContinue = "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"

func TestForwardsContinue(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		for _, test := range []struct{ name, framing, body string }{
			{"length", fmt.Sprintf("Content-Length: %d\r\n\r\n", len(long)), long},
			{"chunked", "Transfer-Encoding: chunked\r\n\r\n", chunked(long)},
		} {
			t.Run(test.name, func(t *testing.T) {
				up := startRecorder(t, kind, nil)
				c := start(t, up.url).dial(t)
				c.send(expectContinue, test.framing)
				if got := c.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
					t.Fatalf("got %q, want 100", got)
				}
				c.send(test.body)
				if a := c.result("POST"); a.status != 200 {
					t.Errorf("got %d %s, want 200", a.status, a.body)
				}
				if got := up.request(t); got.body != long || kind != h2 && got.header.Get("Expect") != "100-continue" {
					t.Errorf("got %d bytes and Expect %q, want the whole body, and 100-continue over HTTP/1.1", len(got.body), got.header["Expect"])
				}
			})
		}
	})
}

// An upstream that refuses a request after its header may save the app the upload. The next bytes, on any connection, must
// not be taken for the body that was never sent.
// The app gets no 100.
func TestForwardsRefusalInsteadOfContinue(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		for _, status := range []int{413, 417, 401} {
			up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/next" {
					body, _ := io.ReadAll(r.Body)
					_, _ = w.Write(body)
					return
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "refused")
			})
			b := start(t, up)
			for _, length := range []int{1, 1000, 300000} {
				c := b.dial(t)
				c.send(expectContinue, fmt.Sprintf("Content-Length: %d\r\n\r\n", length))
				a := c.result("POST")
				if a.status != status || a.body != "refused" || a.err != nil {
					t.Fatalf("got %d %q, %v, want the refusal of the API", a.status, a.body, a.err)
				}
				wantFromAPI(t, a)
				// No request can follow on this connection: its first bytes would be taken for the body.
				if !a.closes {
					t.Errorf("got an open connection after none of %d bytes, want it closed", length)
				}
				if a := b.do(t, b.request(t, "POST", "/next", strings.NewReader("next"))); a.status != 200 || a.body != "next" {
					t.Errorf("next request: got %d %q, want 200 and its own body", a.status, a.body)
				}
			}
		}
	})
}

// Such an upstream may keep the connection open, and discard the body: RFC 9110 section 10.1.1.
func TestRefusalInsteadOfContinueKeepsSync(t *testing.T) {
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		for {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if request.URL.Path == "/x" {
				_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\nrefused")
				if _, err := io.Copy(io.Discard, request.Body); err != nil {
					return
				}
				continue
			}
			body, err := io.ReadAll(request.Body)
			if err != nil || string(body) != "next" {
				_, _ = io.WriteString(c, "HTTP/1.1 500 Out Of Step\r\nContent-Length: 0\r\n\r\n")
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
		}
	})
	b := start(t, "http://"+addr)
	for range 5 {
		c := b.dial(t)
		c.send(expectContinue, "Content-Length: 300000\r\n\r\n")
		if a := c.result("POST"); a.status != 413 || a.body != "refused" {
			t.Fatalf("got %d %q, want the refusal of the API", a.status, a.body)
		}
		if a := b.do(t, b.request(t, "POST", "/next", strings.NewReader("next"))); a.status != 200 || a.body != "next" {
			t.Fatalf("next request: got %d %q, want 200 and its own body", a.status, a.body)
		}
	}
}

func TestRefusesOtherExpectations(t *testing.T) {
	up := startRecorder(t, h1, nil)
	c := start(t, up.url).dial(t)
	c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\nx")
	wantProblem(t, c.result("POST"), 417, "http_request_error")
	if got := up.requests(); len(got) != 0 {
		t.Errorf("got %+v upstream, want nothing", got)
	}
}

// An app must not send a body that will not be read.
func TestSendsProblemInsteadOfContinue(t *testing.T) {
	up := startRecorder(t, h1, nil)
	c := start(t, up.url).dial(t)
	c.send(expectContinue, "Via: 1.1 etrusted-broker\r\nContent-Length: 300000\r\n\r\n")
	wantProblem(t, c.result("POST"), 508, "proxy_loop_detected")
}

// An upstream may respond before it has read the whole upload, and close the connection.
func TestForwardsEarlyResponse(t *testing.T) {
	t.Parallel()
	forAllKinds(t, func(t *testing.T, kind string) {
		up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/next" {
				return
			}
			_, _ = io.ReadFull(r.Body, make([]byte, 10))
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, "early")
		})
		b := start(t, up)
		for range 3 {
			c := b.dial(t)
			c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n")
			go func() { _, _ = io.WriteString(c.Conn, long) }() // may fail: it does not have to be read
			a := c.result("POST")
			if a.status != http.StatusRequestEntityTooLarge || a.body != "early" {
				t.Errorf("got %d %q, want the early response", a.status, a.body)
			}
			if a := b.get(t, "/next"); a.status != 200 {
				t.Errorf("next request: got %d %q, want 200", a.status, a.body)
			}
		}
	})
}
