package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
)

// do sends a request and returns the response with its body read.
func (w *bubble) do(t *testing.T, method, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://localhost:8080"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// eventBody is a request body of the given size that the stand-in takes.
func eventBody(size int) string {
	const frame = `{"type":"checkout","note":""}`
	return strings.Replace(frame, `""`, `"`+strings.Repeat("x", size-len(frame))+`"`, 1)
}

// withoutLength hides the length of a reader, so that the client sends it in chunks.
func withoutLength(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }

func (w *bubble) replayMetrics(t *testing.T) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(w.scrape()) {
		if strings.HasPrefix(line, "etrusted_broker_replays_total") && !strings.HasSuffix(line, " 0\n") {
			lines = append(lines, strings.TrimPrefix(strings.TrimSpace(line), "etrusted_broker_replays_total"))
		}
	}
	return strings.Join(lines, " ")
}

// scrape returns the metrics in the Prometheus text format.
func (w *bubble) scrape() string {
	recorder := httptest.NewRecorder()
	w.broker.metrics.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

func TestReplaysRequestAfterTokenIsRevoked(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		body         func() io.Reader
		want         string // the body that the API sees, twice
	}{
		"GET":          {"GET", "/channels", func() io.Reader { return nil }, ""},
		"POST, 2 kB":   {"POST", "/events", func() io.Reader { return strings.NewReader(eventBody(2048)) }, eventBody(2048)},
		"POST, chunks": {"POST", "/events", func() io.Reader { return withoutLength(eventBody(2048)) }, eventBody(2048)},
		"the largest":  {"POST", "/events", func() io.Reader { return strings.NewReader(eventBody(64 << 10)) }, eventBody(64 << 10)},
		"in chunks":    {"POST", "/events", func() io.Reader { return withoutLength(eventBody(64 << 10)) }, eventBody(64 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, fakeetrusted.Options{})
				w.get(t)
				time.Sleep(11 * time.Second)
				w.eTrusted.Revoke()
				response, text := w.do(t, tc.method, tc.path, tc.body())
				if response.StatusCode >= 300 {
					t.Errorf("%d %s", response.StatusCode, text)
				}
				requests := w.eTrusted.APIRequests()[1:]
				if len(requests) != 2 || requests[0].Status != 401 || string(requests[0].Body) != tc.want || string(requests[1].Body) != tc.want {
					t.Errorf("the API saw %d requests: %+v", len(requests), requests)
				}
				if n := w.eTrusted.TokenRequestCount(); n != 2 {
					t.Errorf("%d token requests", n)
				}
				if got, want := w.replayMetrics(t), `{account="default",outcome="success"} 1`; got != want {
					t.Errorf("replays %s", got)
				}
			})
		})
	}
}

// Beyond the buffer, an upload streams through; it gets the 401 as it came, and the next request works.
func TestDoesNotReplayLargeUpload(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"5 MB":                   func() io.Reader { return strings.NewReader(eventBody(5 << 20)) },
		"5 MB in chunks":         func() io.Reader { return withoutLength(eventBody(5 << 20)) },
		"one byte more":          func() io.Reader { return strings.NewReader(eventBody(64<<10 + 1)) },
		"one byte more in chunk": func() io.Reader { return withoutLength(eventBody(64<<10 + 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, fakeetrusted.Options{})
				w.get(t)
				time.Sleep(11 * time.Second)
				w.eTrusted.Revoke()
				response, text := w.do(t, "POST", "/events", body())
				if response.StatusCode != 401 || text != "" || response.Header.Get("WWW-Authenticate") != "Bearer" || response.Header.Get("Proxy-Status") != "" {
					t.Errorf("%d %v %s", response.StatusCode, response.Header, text)
				}
				if n := w.eTrusted.APIRequestCount(); n != 2 {
					t.Errorf("%d requests reached the API", n)
				}
				if got, want := w.replayMetrics(t), `{account="default",outcome="body_not_kept"} 1`; got != want {
					t.Errorf("replays %s", got)
				}
				if response, _ := w.do(t, "POST", "/events", strings.NewReader(eventBody(100))); response.StatusCode != 201 {
					t.Errorf("the next request: %d", response.StatusCode)
				}
			})
		})
	}
}

func TestPassesOnPermanent401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{})
		w.get(t)
		time.Sleep(time.Minute)
		const refusal = `{"message":"no"}`
		w.eTrusted.SetAPIFault(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.Header().Set("X-Request-Id", "4711")
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, refusal)
		}))
		w.eTrusted.SetAPIDelay(250 * time.Millisecond)
		before, began := w.eTrusted.TokenRequestCount(), time.Now()
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				for time.Since(began) < 12*time.Second {
					response, text := w.do(t, "GET", "/channels", nil)
					header := response.Header
					if response.StatusCode != 401 || text != refusal || header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` || header.Get("X-Request-Id") != "4711" || header.Get("Proxy-Status") != "" {
						t.Errorf("the 401 is not as it came: %d %v %s", response.StatusCode, header, text)
						return
					}
				}
			})
		}
		clients.Wait()
		if n := w.eTrusted.TokenRequestCount() - before; n != 2 {
			t.Errorf("%d token requests in 12 s, want 2", n)
		}
	})
}

// An app that asks for something to which it has no right does not make its other requests wait, whatever the login
// server does.
func TestUnauthorizedRequestDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{Lifetime: time.Hour})
		w.get(t)
		time.Sleep(time.Minute)
		w.eTrusted.SetTokenFault(fakeetrusted.Hang())
		w.eTrusted.SetAPIFault(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/forbidden" {
				rw.WriteHeader(http.StatusUnauthorized)
			}
		}))
		refused := make(chan int)
		go func() {
			response, _ := w.do(t, "GET", "/forbidden", nil)
			refused <- response.StatusCode
		}()
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if response, took := w.get(t); response.StatusCode != 200 || took != 0 {
				t.Fatalf("%d after %v", response.StatusCode, took)
			}
		}
		if status := <-refused; status != 401 {
			t.Errorf("the refused request: %d", status)
		}
	})
}

// While there is no other token to be had, the 401 is the app's, and so is the old token.
func TestPassesOn401WithoutNewToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{})
		w.get(t)
		time.Sleep(time.Minute)
		w.eTrusted.SetTokenFault(fakeetrusted.Status(503, nil))
		w.eTrusted.SetAPIFault(fakeetrusted.Status(401, nil))
		if response, _ := w.do(t, "GET", "/channels", nil); response.StatusCode != 401 {
			t.Errorf("status %d", response.StatusCode)
		}
		w.eTrusted.SetAPIFault(nil)
		if response, took := w.get(t); response.StatusCode != 200 || took != 0 {
			t.Errorf("%d after %v: the token was lost", response.StatusCode, took)
		}
	})
}

func TestReplayCanBeDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubbleWith(t, fakeetrusted.Options{}, func(c *config.Config) { c.Replay401 = false })
		w.get(t)
		time.Sleep(time.Minute)
		w.eTrusted.Revoke()
		post := func() int {
			response, _ := w.do(t, "POST", "/events", strings.NewReader(eventBody(100)))
			synctest.Wait()
			return response.StatusCode
		}
		if status := post(); status != 401 {
			t.Errorf("status %d", status)
		}
		if n := w.eTrusted.APIRequestCount(); n != 2 {
			t.Errorf("%d requests reached the API", n)
		}
		if status := post(); status != 201 {
			t.Errorf("the next request has the dead token, too: %d", status)
		}
	})
}

// A request that may have been acted upon is not sent again: the connection breaks after the API has read it.
func TestDoesNotReplayAfterBrokenConnection(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, fakeetrusted.Options{})
				for range 3 {
					w.get(t) // there is a connection to be used again
				}
				before := w.eTrusted.APIRequestCount()
				w.eTrusted.SetAPIFault(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
				response, _ := w.do(t, method, "/events", strings.NewReader(eventBody(100)))
				if response.StatusCode != http.StatusBadGateway {
					t.Errorf("status %d", response.StatusCode)
				}
				if n := w.eTrusted.APIRequestCount() - before; n != 1 {
					t.Errorf("the API saw it %d times", n)
				}
			})
		})
	}
}
