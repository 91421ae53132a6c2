package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// eventBody returns a request body of the given size that the fake eTrusted accepts.
func eventBody(size int) string {
	const frame = `{"type":"checkout","note":""}`
	return strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(frame))+`"`, 1)
}

// withoutLength returns a reader whose length the client cannot see, so that it sends the body in chunks.
func withoutLength(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

// replayMetrics returns the labels and values of all replay counters that are not 0.
func (b *bubble) replayMetrics(t *testing.T) string {
	t.Helper()
	synctest.Wait() // a request is counted after its response
	var lines []string
	for line := range strings.Lines(b.scrape()) {
		if strings.HasPrefix(line, "etrusted_broker_replays_total") && !strings.HasSuffix(line, " 0\n") {
			lines = append(lines, strings.TrimPrefix(strings.TrimSpace(line), "etrusted_broker_replays_total"))
		}
	}
	return strings.Join(lines, " ")
}

// scrape returns the metrics in the Prometheus text format.
func (b *bubble) scrape() string {
	recorder := httptest.NewRecorder()
	b.broker.metrics.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

func TestReplaysRequestAfterTokenIsRevoked(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		body         func() io.Reader
		want         string // the body, which the API receives twice
	}{
		"GET":          {"GET", "/channels", func() io.Reader { return nil }, ""},
		"POST, 2 kB":   {"POST", "/events", func() io.Reader { return strings.NewReader(eventBody(2048)) }, eventBody(2048)},
		"POST, chunks": {"POST", "/events", func() io.Reader { return withoutLength(eventBody(2048)) }, eventBody(2048)},
		"the largest":  {"POST", "/events", func() io.Reader { return strings.NewReader(eventBody(64 << 10)) }, eventBody(64 << 10)},
		"in chunks":    {"POST", "/events", func() io.Reader { return withoutLength(eventBody(64 << 10)) }, eventBody(64 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, fakeetrusted.Options{})
				b.get(t)
				time.Sleep(11 * time.Second)
				b.eTrusted.Revoke()
				response, text := b.do(t, tc.method, tc.path, tc.body())
				if response.StatusCode >= 300 {
					t.Errorf("got status %d, want success: %s", response.StatusCode, text)
				}
				requests := b.eTrusted.APIRequests()[1:]
				if len(requests) != 2 || requests[0].Status != 401 || string(requests[0].Body) != tc.want || string(requests[1].Body) != tc.want {
					t.Errorf("got %d requests at the API, want 2 with the whole body, the first answered with 401: %+v", len(requests), requests)
				}
				if n := b.eTrusted.TokenRequestCount(); n != 2 {
					t.Errorf("got %d token requests, want 2", n)
				}
				if got, want := b.replayMetrics(t), `{account="default",outcome="success"} 1`; got != want {
					t.Errorf("got the replay counters %s, want %s", got, want)
				}
			})
		})
	}
}

// An upload that is larger than the buffer is streamed. The app gets the 401 unchanged, and the next request works.
func TestDoesNotReplayLargeUpload(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"5 MB":                   func() io.Reader { return strings.NewReader(eventBody(5 << 20)) },
		"5 MB in chunks":         func() io.Reader { return withoutLength(eventBody(5 << 20)) },
		"one byte more":          func() io.Reader { return strings.NewReader(eventBody(64<<10 + 1)) },
		"one byte more in chunk": func() io.Reader { return withoutLength(eventBody(64<<10 + 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, fakeetrusted.Options{})
				b.get(t)
				time.Sleep(11 * time.Second)
				b.eTrusted.Revoke()
				response, text := b.do(t, "POST", "/events", body())
				if response.StatusCode != 401 || text != "" || response.Header.Get("WWW-Authenticate") != "Bearer" || response.Header.Get("Proxy-Status") != "" {
					t.Errorf("got %d %v %q, want the API's 401 unchanged", response.StatusCode, response.Header, text)
				}
				if n := b.eTrusted.APIRequestCount(); n != 2 {
					t.Errorf("got %d requests at the API, want 2", n)
				}
				if got, want := b.replayMetrics(t), `{account="default",outcome="body_not_kept"} 1`; got != want {
					t.Errorf("got the replay counters %s, want %s", got, want)
				}
				if response, _ := b.do(t, "POST", "/events", strings.NewReader(eventBody(100))); response.StatusCode != 201 {
					t.Errorf("the next request: got status %d, want 201", response.StatusCode)
				}
			})
		})
	}
}

func TestPassesOnPermanent401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{})
		b.get(t)
		time.Sleep(time.Minute)
		const refusal = `{"message":"no"}`
		b.eTrusted.SetAPIFault(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.Header().Set("X-Request-Id", "4711")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, refusal)
		}))
		b.eTrusted.SetAPIDelay(250 * time.Millisecond)
		before, began := b.eTrusted.TokenRequestCount(), time.Now()
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				for time.Since(began) < 12*time.Second {
					response, text := b.do(t, "GET", "/channels", nil)
					header := response.Header
					if response.StatusCode != 401 || text != refusal || header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` || header.Get("X-Request-Id") != "4711" || header.Get("Proxy-Status") != "" {
						t.Errorf("got %d %v %q, want the API's 401 unchanged", response.StatusCode, header, text)
						return
					}
				}
			})
		}
		clients.Wait()
		if n := b.eTrusted.TokenRequestCount() - before; n != 2 {
			t.Errorf("got %d token requests in 12 s, want 2", n)
		}
	})
}

// An app may request what its account has no right to. The 401 does not delay the app's other requests, whatever the login
// server does.
func TestUnauthorizedRequestDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{Lifetime: time.Hour})
		b.get(t)
		time.Sleep(time.Minute)
		b.eTrusted.SetTokenFault(fakeetrusted.Hang())
		b.eTrusted.SetAPIFault(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/forbidden" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		unauthorized := make(chan int)
		go func() {
			response, _ := b.do(t, "GET", "/forbidden", nil)
			unauthorized <- response.StatusCode
		}()
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if response, took := b.get(t); response.StatusCode != 200 || took != 0 {
				t.Fatalf("got status %d after %v, want 200 after 0s", response.StatusCode, took)
			}
		}
		if status := <-unauthorized; status != 401 {
			t.Errorf("the forbidden request: got status %d, want 401", status)
		}
	})
}

// Without a newer token, the app gets the 401, and the broker keeps the old token.
func TestPassesOn401WithoutNewToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{})
		b.get(t)
		time.Sleep(time.Minute)
		b.eTrusted.SetTokenFault(fakeetrusted.Status(503, nil))
		b.eTrusted.SetAPIFault(fakeetrusted.Status(401, nil))
		if response, _ := b.do(t, "GET", "/channels", nil); response.StatusCode != 401 {
			t.Errorf("got status %d, want 401", response.StatusCode)
		}
		b.eTrusted.SetAPIFault(nil)
		if response, took := b.get(t); response.StatusCode != 200 || took != 0 {
			t.Errorf("got status %d after %v, want 200 after 0s with the old token", response.StatusCode, took)
		}
	})
}

func TestReplayCanBeDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubbleWith(t, fakeetrusted.Options{}, func(s *setup) { s.config.Replay401 = false })
		b.get(t)
		time.Sleep(time.Minute)
		b.eTrusted.Revoke()
		post := func() int {
			response, _ := b.do(t, "POST", "/events", strings.NewReader(eventBody(100)))
			synctest.Wait()
			return response.StatusCode
		}
		if status := post(); status != 401 {
			t.Errorf("got status %d, want 401", status)
		}
		if n := b.eTrusted.APIRequestCount(); n != 2 {
			t.Errorf("got %d requests at the API, want 2", n)
		}
		if status := post(); status != 201 {
			t.Errorf("the next request: got status %d, want 201 with a new token", status)
		}
	})
}

// The connection breaks after the API has read the request. The API may have acted on it, so it must not be sent again.
func TestDoesNotReplayAfterBrokenConnection(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, fakeetrusted.Options{})
				for range 3 {
					b.get(t) // leaves a connection that can be reused
				}
				before := b.eTrusted.APIRequestCount()
				b.eTrusted.SetAPIFault(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
				response, _ := b.do(t, method, "/events", strings.NewReader(eventBody(100)))
				if response.StatusCode != http.StatusBadGateway {
					t.Errorf("got status %d, want 502", response.StatusCode)
				}
				if n := b.eTrusted.APIRequestCount() - before; n != 1 {
					t.Errorf("got the request %d times at the API, want once", n)
				}
			})
		})
	}
}

func TestAccessLogHasOneLineForReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubbleWith(t, fakeetrusted.Options{}, func(s *setup) { s.config.AccessLog = true })
		b.eTrusted.SetAPIDelay(250 * time.Millisecond)
		b.get(t)
		time.Sleep(11 * time.Second)
		b.eTrusted.Revoke()
		b.get(t)
		synctest.Wait()
		lines := b.logs.Lines("request")
		if len(lines) != 2 {
			t.Fatalf("got %d lines, want 2: %v", len(lines), lines)
		}
		for i, want := range []map[string]any{
			{"status": 200.0, "retried": false, "retry": nil, "duration": 0.25, "upstream_duration": 0.25},
			{"status": 200.0, "retried": true, "retry": "success", "duration": 0.5, "upstream_duration": 0.5}, // one line for both attempts
		} {
			for name, value := range want {
				if lines[i][name] != value {
					t.Errorf("line %d: got %s %v, want %v", i, name, lines[i][name], value)
				}
			}
		}
		requests := b.eTrusted.APIRequests()
		if first, again := requests[1].Header["X-Request-Id"], requests[2].Header["X-Request-Id"]; len(first) != 1 || !slices.Equal(first, again) || first[0] != lines[1]["request_id"] {
			t.Errorf("got the request IDs %q and %q at the API and %v in the log, want one for all", first, again, lines[1]["request_id"])
		}
	})
}
