package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// The upstream sends the next part only after the app has seen the last, so a broker that holds anything back hangs.
func TestStreamsResponse(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		for _, declared := range []string{"", "12", "100000"} {
			t.Run("Content-Length "+declared, func(t *testing.T) {
				parts := []string{"one ", "two ", "three"}
				if declared == "12" {
					parts = []string{"one ", "two ", "last"}
				}
				if declared == "100000" {
					parts[2] = strings.Repeat("x", 100000-8)
				}
				next := make(chan struct{})
				up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
					if declared != "" {
						w.Header().Set("Content-Length", declared)
					}
					for i, part := range parts {
						_, _ = io.WriteString(w, part)
						if i == len(parts)-1 {
							return
						}
						_ = http.NewResponseController(w).Flush()
						select {
						case <-next:
						case <-r.Context().Done():
							return
						}
					}
				})
				b := start(t, up)
				response, err := b.client.Do(b.request(t, "GET", "/x", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				for i, part := range parts {
					got := make([]byte, len(part))
					if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != part {
						t.Fatalf("got %.20q, %v; want %.20q", got, err, part)
					}
					if i < len(parts)-1 {
						next <- struct{}{}
					}
				}
				if rest, err := io.ReadAll(response.Body); len(rest) != 0 || err != nil {
					t.Errorf("got %q, %v after the last part, want the end", rest, err)
				}
			})
		}
	})
}

// The app must see the header of an event stream before the first event.
func TestForwardsHeaderBeforeBody(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		next := make(chan struct{})
		up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
				_, _ = io.WriteString(w, "data: 1\n\n")
			case <-r.Context().Done():
			}
		})
		b := start(t, up)
		response, err := b.client.Do(b.request(t, "GET", "/x", nil))
		if err != nil {
			t.Fatal(err)
		}
		close(next)
		if a := readResult(response); a.body != "data: 1\n\n" || a.err != nil || a.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("got %+v, want the whole event stream", a)
		}
	})
}

func TestStreamsUpload(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		came := make(chan string)
		up := serve(t, kind, func(_ http.ResponseWriter, r *http.Request) {
			buffer := make([]byte, 100)
			for {
				n, err := r.Body.Read(buffer)
				if n > 0 {
					came <- string(buffer[:n])
				}
				if err != nil {
					return
				}
			}
		})
		b := start(t, up)
		body, write := io.Pipe()
		done := make(chan result, 1)
		go func() { done <- b.do(t, b.request(t, "POST", "/x", body)) }()
		for _, part := range []string{"one", "two", "three"} {
			if _, err := io.WriteString(write, part); err != nil {
				t.Fatal(err)
			}
			if got := brokertest.Receive(t, part, came); got != part {
				t.Errorf("%q, want %q", got, part)
			}
		}
		_ = write.Close()
		if a := brokertest.Receive(t, "the answer", done); a.status != 200 {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
	})
}

func TestForwardsResponseTrailers(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := serve(t, kind, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Trailer", "X-Announced, X-Never-Sent, Access-Control-Allow-Origin, Set-Cookie, Authorization")
			_, _ = io.WriteString(w, "body")
			_ = http.NewResponseController(w).Flush()
			h["X-Announced"] = []string{"1", "2"}
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Set-Cookie", "a=b")
			h.Set("Authorization", "x")
			for _, name := range []string{"Host", "Status", "Location", "Via", "Www-Authenticate", "Set_cookie", "Proxy_status"} {
				h.Set(http.TrailerPrefix+name, "etrusted-broker")
			}
			h.Set(http.TrailerPrefix+"X-Unannounced", "3")
			h.Set(http.TrailerPrefix+"Access-Control-Max-Age", "4")
		})
		a := start(t, up).get(t, "/x")
		want := http.Header{"X-Announced": {"1", "2"}, "X-Unannounced": {"3"}}
		sent := http.Header{}
		for name, values := range a.trailer {
			if len(values) > 0 { // otherwise only announced
				sent[name] = values
			}
		}
		if a.body != "body" || !reflect.DeepEqual(sent, want) {
			t.Errorf("%q with trailers %v, want %v", a.body, sent, want)
		}
		if a.header["X-Announced"] != nil || a.header["X-Unannounced"] != nil {
			t.Errorf("got trailers among the fields of the header: %v, want none", a.header)
		}
	})
}

func TestForwardsRequestTrailers(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		b := start(t, up.url)
		r := b.request(t, "POST", "/x", io.MultiReader(strings.NewReader(long)))
		// The names are sent ahead. The values are set before the body ends, as with a checksum.
		r.Trailer = http.Header{
			"X-Sum": {"1", "2"}, "X-Forwarded-For": {"192.0.2.1"}, "Via": {"1.1 etrusted-broker"}, "Forwarded": {"for=x"},
			"Proxy-Authorization": {"Basic x"}, "Proxy_authorization": {"Basic x"}, "X_forwarded_for": {"x"}, "X-Real-Ip": {"x"}, "Client_ip": {"x"},
			"X-Http-Method-Override": {"DELETE"}, "X-Original-Url": {"/x"}, "X_original_url": {"/x"}, "X-Original-Method": {"DELETE"},
			"Cookie": {"x"}, "Status": {"200"}, "Content-Type": {"x/y"}, "If-Match": {"*"}, "X-Mine": {"x"}, "X_also_mine": {"x"},
		}
		r.Header["Connection"] = []string{"X-Mine, x-also-mine"}
		if a := b.do(t, r); a.status != 200 {
			t.Fatalf("got %d %s, want 200", a.status, a.body)
		}
		got := up.request(t)
		if want := (http.Header{"X-Sum": {"1", "2"}}); got.body != long || !reflect.DeepEqual(got.trailer, want) {
			t.Errorf("got %d bytes with trailers %v, want the body and its announced trailers", len(got.body), got.trailer)
		}
	})
}

func TestForwardsInformationalResponses(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := serve(t, kind, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Link"] = []string{"</a.css>; rel=preload"}
			w.Header()["Access-Control-Allow-Origin"] = []string{"*"}
			w.WriteHeader(http.StatusEarlyHints)
			w.Header()["Link"] = []string{"</b.css>; rel=preload"}
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.Header().Del("Link")
			w.Header().Set("X-Final", "1")
			_, _ = io.WriteString(w, "final")
		})
		c := start(t, up).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		for _, want := range []string{
			"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
			"HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n",
			"HTTP/1.1 102 Processing\r\nLink: </b.css>; rel=preload\r\n\r\n",
		} {
			if got := c.head(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		a := c.result("GET")
		if a.status != 200 || a.body != "final" || a.header["Link"] != nil || a.header.Get("X-Final") != "1" {
			t.Errorf("got %d %v %q, want only the final response", a.status, a.header, a.body)
		}
	})
}

// The server sends 100 itself, when the body is read. A 100 that was not requested is not forwarded.
func TestDropsUnrequestedContinue(t *testing.T) {
	addr := startRawUpstream(t, afterRequest("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	c := start(t, "http://"+addr).dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if a := c.result("GET"); a.status != 200 {
		t.Errorf("got %d, want 200", a.status)
	}
}

// An informational response that arrives while the broker already sends a problem must not get into that.
func TestReportsFailureAfterInformationalResponse(t *testing.T) {
	addr := startRawUpstream(t, afterRequest("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Early: 1\r\n\r\n"))
	c := start(t, "http://"+addr).dial(t)
	c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if got := c.head(); !strings.HasPrefix(got, "HTTP/1.1 103 ") {
		t.Fatalf("got %q, want 103", got)
	}
	a := c.result("POST")
	wantProblem(t, a, 502, "connection_terminated")
	if a.header["Link"] != nil || a.header["X-Early"] != nil {
		t.Errorf("got %v, want no fields of the informational response", a.header)
	}
}

// An HTTP/1.0 server ends its body by closing the connection.
func TestAcceptsHTTP10Upstream(t *testing.T) {
	addr := startRawUpstream(t, afterRequest("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nall there is"))
	a := start(t, "http://"+addr).get(t, "/x")
	if a.body != "all there is" || !a.chunked || a.header.Get("X-A") != "1" || a.header["Content-Type"] != nil {
		t.Errorf("got %+v, want the whole body, chunked", a)
	}
}

func TestServesHTTP10Client(t *testing.T) {
	up := startRecorder(t, h1, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, long)
	})
	c := start(t, up.url).dial(t)
	c.send("GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n")
	a := c.result("GET")
	if a.body != long || a.chunked || a.err != nil {
		t.Errorf("got %d bytes, chunked %v, %v, want the whole body, not chunked", len(a.body), a.chunked, a.err)
	}
	if got := up.request(t); got.proto != h1 {
		t.Errorf("got %+v, want HTTP/1.1", got)
	}
}

func TestServesConcurrentRequests(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, r.URL.RawQuery, len(body))
		})
		b := start(t, up)
		type pair struct{ got, want string }
		answers := make(chan pair)
		const n = 50
		for i := range n {
			go func() {
				a := b.do(t, b.request(t, "POST", fmt.Sprintf("/x?%d-", i), strings.NewReader(long)))
				answers <- pair{a.body, fmt.Sprintf("%d-%d", i, len(long))}
			}()
		}
		for range n {
			if p := brokertest.Receive(t, "an answer", answers); p.got != p.want {
				t.Errorf("%q, want %q", p.got, p.want)
			}
		}
	})
}
