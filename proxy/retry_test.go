package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
)

// Tests in cmd/broker replace tokens with a real source. These tests are about the proxy's part.

const secondAuthorization = "Bearer second." + canary

// startRevoked starts an upstream that rejects the first token. The setup has a source of that token and then another.
func startRevoked(t *testing.T, kind string) (*recorder, func(*setup)) {
	up := startRecorder(t, kind, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == authorization {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "refused")
			return
		}
		_, _ = io.WriteString(w, "accepted")
	})
	return up, func(s *setup) {
		s.Retry, s.RetryBuffer = true, 1000
		s.Tokens = accounts{"": &fakeTokens{
			current:    authorization,
			invalidate: func(value string) bool { return value == authorization },
			wait:       func(context.Context) (string, error) { return secondAuthorization, nil },
		}}.tokens
	}
}

func TestRetriesOnceAfter401(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		for _, test := range []struct {
			name, request, body string
			outcome             proxy.RetryOutcome
		}{
			{"no body", "GET /x?q HTTP/1.1\r\nHost: localhost\r\n\r\n", "", proxy.RetryAuthorized},
			{"empty body", "POST /x?q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "", proxy.RetryAuthorized},
			{"body", "POST /x?q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + long[:1000], long[:1000], proxy.RetryAuthorized},
			{"chunked", "POST /x?q HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(long[:1000]), long[:1000], proxy.RetryAuthorized},
			{"chunked, empty", "POST /x?q HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", proxy.RetryAuthorized},
			{"too long", "POST /x?q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n" + long[:1001], long[:1001], proxy.RetryBodyNotKept},
			{"chunked, too long", "POST /x?q HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(long[:1001]), long[:1001], proxy.RetryBodyNotKept},
		} {
			t.Run(test.name, func(t *testing.T) {
				up, revoke := startRevoked(t, kind)
				b := start(t, up.url, revoke)
				c := b.dial(t)
				c.send(test.request)
				a := c.result("POST")
				wantFromAPI(t, a)
				all, want := up.requests(), 2
				if test.outcome == proxy.RetryAuthorized {
					if a.status != 200 || a.body != "accepted" || a.header["Www-Authenticate"] != nil {
						t.Errorf("got %d %v %s, want 200 after the retry", a.status, a.header, a.body)
					}
				} else {
					want = 1
					if a.status != 401 || a.body != "refused" || a.header.Get("WWW-Authenticate") != "Bearer" {
						t.Errorf("got %d %v %s, want the 401 of the API", a.status, a.header, a.body)
					}
				}
				if len(all) != want {
					t.Fatalf("got %d requests upstream, want %d", len(all), want)
				}
				for i, got := range all {
					if got.target != "/x?q" || got.body != test.body || got.err != nil {
						t.Errorf("request %d: got %s, %d bytes, %v, want the same target and body", i, got.target, len(got.body), got.err)
					}
					if value := []string{authorization, secondAuthorization}[i]; !slices.Equal(got.header["Authorization"], []string{value}) {
						t.Errorf("request %d: got Authorization %q, want one token each", i, got.header["Authorization"])
					}
					if value := got.header["Via"]; !slices.Equal(value, []string{"1.1 etrusted-broker"}) {
						t.Errorf("request %d: got Via %q, want one entry", i, value)
					}
				}
				if got := b.record(t); got.Status != a.status || got.Retry != test.outcome || got.ProxyError != "" {
					t.Errorf("got %+v, want the outcome of the retry", got)
				}
			})
		}
	})
}

func TestRetryKeepsNegotiatedEncoding(t *testing.T) {
	up, revoke := startRevoked(t, h1)
	b := start(t, up.url, revoke, withLinkRewriting)
	r := b.request(t, "GET", "/x", nil)
	r.Header["Accept-Encoding"] = []string{"br", "gzip"} // sent as one line
	b.do(t, r)
	all := up.requests()
	if len(all) != 2 {
		t.Fatalf("got %d requests upstream, want 2", len(all))
	}
	for i, got := range all {
		if value := got.header["Accept-Encoding"]; !slices.Equal(value, []string{"gzip"}) {
			t.Errorf("request %d: got Accept-Encoding %q, want gzip", i, value)
		}
	}
}

func TestRetryKeepsTrailers(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up, revoke := startRevoked(t, kind)
		c := start(t, up.url, revoke).dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Authorization\r\n\r\n",
			chunked("body", "X-Sum: 1", "Authorization: Bearer app"))
		if a := c.result("POST"); a.status != 200 {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
		for i, got := range up.requests() {
			if got.body != "body" || !reflect.DeepEqual(got.trailer, http.Header{"X-Sum": {"1"}}) {
				t.Errorf("request %d: got %q with trailers %v, want the same both times", i, got.body, got.trailer)
			}
		}
	})
}

// If the token cannot be replaced, or must not be, the app gets the API's 401.
func TestForwards401WithoutRetry(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(*setup, *fakeTokens)
		sent    int
		outcome proxy.RetryOutcome
	}{
		{"off", func(s *setup, _ *fakeTokens) { s.Retry = false }, 1, ""},
		{"token is kept", func(_ *setup, f *fakeTokens) { f.invalidate = nil }, 1, ""},
		{"no other in time", func(_ *setup, f *fakeTokens) {
			f.wait = func(context.Context) (string, error) { return "", errors.New("none") }
		}, 1, proxy.RetryNoToken},
		{"the same again", func(_ *setup, f *fakeTokens) {
			f.wait = func(context.Context) (string, error) { return authorization, nil }
		}, 1, proxy.RetryNoToken},
		{"refused again", func(_ *setup, f *fakeTokens) {
			f.current = "Bearer zeroth"
			f.invalidate = func(string) bool { return true }
			f.wait = func(context.Context) (string, error) { return authorization, nil }
		}, 2, proxy.RetryUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := startRecorder(t, h1, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "refused")
			})
			_, revoke := startRevoked(t, h1)
			var tokens *fakeTokens
			b := start(t, up.url, revoke, func(s *setup) {
				tokens = s.fakeTokens()
				test.change(s, tokens)
			})
			a := b.do(t, b.request(t, "POST", "/x", strings.NewReader("body")))
			wantFromAPI(t, a)
			if a.status != 401 || a.body != "refused" || a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("got %d %v %s, want the 401 of the API", a.status, a.header, a.body)
			}
			if all := up.requests(); len(all) != test.sent {
				t.Errorf("%d requests went upstream, want %d", len(all), test.sent)
			}
			if got := tokens.accepted.Load(); got != nil {
				t.Errorf("got %s accepted, want none", *got)
			}
			if got := b.record(t); got.Retry != test.outcome || got.Status != 401 {
				t.Errorf("got %+v, want status 401 and the outcome of the retry", got)
			}
		})
	}
}

// The token source learns that the API accepts the token of a retry.
func TestReportsAcceptedToken(t *testing.T) {
	up, revoke := startRevoked(t, h1)
	var tokens *fakeTokens
	b := start(t, up.url, revoke, func(s *setup) { tokens = s.fakeTokens() })
	if a := b.do(t, b.request(t, "GET", "/x", nil)); a.status != 200 {
		t.Fatalf("got %d, want 200", a.status)
	}
	if got := tokens.accepted.Load(); got == nil || *got != secondAuthorization {
		t.Errorf("got %v accepted, want the second token", got)
	}
}

// It also learns of each token that the API refuses, so that it offers none of them again.
func TestReportsEachRefusedToken(t *testing.T) {
	up := startRecorder(t, h1, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	_, revoke := startRevoked(t, h1)
	var refused []string
	b := start(t, up.url, revoke, func(s *setup) {
		s.fakeTokens().invalidate = func(value string) bool {
			refused = append(refused, value)
			return true
		}
	})
	if a := b.do(t, b.request(t, "GET", "/x", nil)); a.status != 401 {
		t.Fatalf("got %d, want the 401 of the API", a.status)
	}
	if want := []string{authorization, secondAuthorization}; !slices.Equal(refused, want) {
		t.Errorf("got %q refused, want %q", refused, want)
	}
}

func TestReportsFailedRetry(t *testing.T) {
	calls := 0
	up := startRecorder(t, h1, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	_, revoke := startRevoked(t, h1)
	b := start(t, up.url, revoke, func(s *setup) {
		s.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
			if calls++; calls == 2 {
				return nil, io.ErrUnexpectedEOF
			}
			return s.client.RoundTrip(r)
		})
	})
	wantProblem(t, b.get(t, "/x"), 502, "connection_terminated")
	if got := b.record(t); got.Retry != proxy.RetryFailed || calls != 2 {
		t.Errorf("got %+v after %d calls, want RetryFailed after 2", got, calls)
	}
}

func TestRetryClosesBothBodies(t *testing.T) {
	var bodies []*countingBody
	up, revoke := startRevoked(t, h1)
	b := start(t, up.url, revoke, func(s *setup) {
		s.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
			response, err := s.client.RoundTrip(r)
			if err == nil {
				bodies = append(bodies, &countingBody{ResponseBody: response.Body})
				response.Body = bodies[len(bodies)-1]
			}
			return response, err
		})
	})
	b.get(t, "/x")
	b.record(t)
	b.server.Close()
	if len(bodies) != 2 || bodies[0].closes.Load() != 1 || bodies[1].closes.Load() != 1 {
		t.Errorf("got %d bodies, want 2, each closed once", len(bodies))
	}
}

// If the client goes away while the request waits for the second token, the 401 is not recorded.
func TestClientClosesWhileWaitingForRetry(t *testing.T) {
	waiting := make(chan struct{}, 1)
	up, revoke := startRevoked(t, h1)
	b := start(t, up.url, revoke, func(s *setup) {
		s.fakeTokens().wait = func(ctx context.Context) (string, error) {
			waiting <- struct{}{}
			<-ctx.Done()
			return "", ctx.Err()
		}
	})
	c := b.dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	brokertest.Receive(t, "the request to wait", waiting)
	_ = c.Close()
	got := b.record(t)
	if len(up.requests()) != 1 || got.Retry != proxy.RetryNoToken {
		t.Errorf("got %+v, want RetryNoToken after one request", got)
	}
}

// With -race: the API rejects the token while a chunked upload that has become too long to be kept is still being sent. The
// goroutine that sends drops what was kept, while the request's goroutine asks whether it was.
func TestForwards401DuringUpload(t *testing.T) {
	up := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, r)
	})
	for range 3 {
		rejected, uploading := make(chan struct{}), make(chan struct{})
		b := start(t, "http://"+up, func(s *setup) {
			s.Retry, s.RetryBuffer = true, 1000
			s.fakeTokens().invalidate = func(string) bool {
				close(rejected)
				<-uploading
				return true
			}
		})
		c := b.dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		go func() {
			<-rejected
			for i := range 40 {
				_, _ = io.WriteString(c, "64\r\n"+strings.Repeat("x", 100)+"\r\n")
				if i == 8 { // the next ones are too many to be kept
					close(uploading)
				}
			}
		}()
		if got := c.result("POST"); got.status != 401 {
			t.Errorf("got %d, want 401", got.status)
		}
	}
}
