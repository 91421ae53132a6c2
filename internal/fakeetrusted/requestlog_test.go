package fakeetrusted

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func TestRecordsAPIRequests(t *testing.T) {
	s := New(Options{})
	server := httptest.NewServer(s)
	defer server.Close()
	body := strings.Repeat("0123456789abcdef", 300<<10/16)
	r := request(t, "POST", server.URL+"/ev%2fents?a;b&c=%zz", "", http.Header{"X-Mine": {"1"}})
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
	r.Host = "api.example.net"
	r.Trailer = http.Header{"X-Sum": {"42"}}
	start := time.Now()
	send(t, server.Client(), r)
	if s.APIRequestCount() != 1 || s.TokenRequestCount() != 0 {
		t.Fatalf("got %d and %d requests", s.APIRequestCount(), s.TokenRequestCount())
	}
	got := s.APIRequests()[0]
	if got.Method != "POST" || got.Host != "api.example.net" || got.RequestURI != "/ev%2fents?a;b&c=%zz" || got.Proto != "HTTP/1.1" ||
		got.ContentLength != -1 || !slices.Equal(got.TransferEncoding, []string{"chunked"}) || got.Header.Get("X-Mine") != "1" ||
		got.BodyBytes != int64(len(body)) || string(got.Body) != body || got.Trailer.Get("X-Sum") != "42" || got.Status != 401 || got.At.Before(start) {
		got.Body = nil
		t.Errorf("%+v", got)
	}
	// What is handed out is the caller's.
	got.Header.Set("X-Mine", "2")
	got.Trailer.Set("X-Sum", "43")
	if again := s.APIRequests()[0]; again.Header.Get("X-Mine") != "1" || again.Trailer.Get("X-Sum") != "42" {
		t.Error("the record was changed from outside")
	}
}

func TestRecordsTokenRequests(t *testing.T) {
	s := New(Options{})
	fetch(t, s)
	if s.TokenRequestCount() != 1 || s.APIRequestCount() != 0 {
		t.Fatalf("got %d and %d requests", s.TokenRequestCount(), s.APIRequestCount())
	}
	got := s.TokenRequests()[0]
	if got.Method != "POST" || got.Host != "example.com" || got.RequestURI != tokenPath || got.Status != 200 || got.At.IsZero() ||
		got.Form.Get("client_secret") != DefaultClientSecret || got.Header.Get("Content-Type") == "" {
		t.Errorf("%+v", got)
	}
	got.Form.Set("client_secret", "changed")
	got.Form["client_id"][0] = "changed"
	got.Header.Set("Content-Type", "changed")
	again := s.TokenRequests()[0]
	if again.Form.Get("client_secret") != DefaultClientSecret || again.Form.Get("client_id") != DefaultClientID || again.Header.Get("Content-Type") == "changed" {
		t.Error("the record was changed from outside")
	}
}

func TestRecordIsBounded(t *testing.T) {
	s := New(Options{})
	const n = maxRequests + 250
	for i := range n {
		do(t, s, "POST", fmt.Sprintf("/api/%d", i), "some body", nil)
		do(t, s, "GET", tokenPath+"?"+fmt.Sprint(i), "", nil)
	}
	if s.APIRequestCount() != n || s.TokenRequestCount() != n {
		t.Errorf("got %d and %d requests", s.APIRequestCount(), s.TokenRequestCount())
	}
	api, token := s.APIRequests(), s.TokenRequests()
	if len(api) != maxRequests || len(token) != maxRequests {
		t.Fatalf("got %d and %d kept", len(api), len(token))
	}
	for i := range maxRequests {
		if api[i].RequestURI != fmt.Sprintf("/api/%d", 250+i) || token[i].RequestURI != fmt.Sprintf("%s?%d", tokenPath, 250+i) {
			t.Fatalf("at %d: %s, %s", i, api[i].RequestURI, token[i].RequestURI)
		}
		if wantBody := i >= maxRequests-maxBodies; (api[i].Body != nil) != wantBody || api[i].BodyBytes != 9 {
			t.Errorf("at %d: body %q of %d bytes", i, api[i].Body, api[i].BodyBytes)
		}
	}
}

func TestRequestsWithoutBodyEvictNoBody(t *testing.T) {
	s := New(Options{})
	do(t, s, "POST", "/x", "kept", nil)
	for range 2 * maxBodies {
		do(t, s, "GET", "/x", "", nil)
	}
	if got := s.APIRequests()[0]; string(got.Body) != "kept" {
		t.Errorf("got body %q, want kept", got.Body)
	}
}

func TestLongBodyIsTruncated(t *testing.T) {
	s := New(Options{})
	long := strings.Repeat("x", maxKeptBody+5)
	do(t, s, "POST", "/x", long, nil)
	if got := s.APIRequests()[0]; len(got.Body) != maxKeptBody || cap(got.Body) > 2*maxKeptBody || got.BodyBytes != maxKeptBody+5 {
		t.Errorf("got %d of %d bytes kept", len(got.Body), got.BodyBytes)
	}
}

func TestTooLongBodyIsRefused(t *testing.T) {
	s := New(Options{})
	r := httptest.NewRequest("POST", "/events", io.LimitReader(zeros{}, maxBody+1))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got := s.APIRequests()[0]; w.Code != http.StatusRequestEntityTooLarge || got.Status != w.Code || got.BodyBytes != maxBody {
		t.Errorf("got %d, %d bytes", w.Code, got.BodyBytes)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTruncatedRequestBody(t *testing.T) {
	s := New(Options{})
	r := httptest.NewRequest("POST", "/events", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("gone"))))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got := s.APIRequests()[0]; w.Code != 400 || got.Status != 400 || string(got.Body) != "half" {
		t.Errorf("got %d, %+v", w.Code, got)
	}
}

func TestNilBody(t *testing.T) {
	s := New(Options{})
	r := httptest.NewRequest("GET", "/channels", nil)
	r.Body = nil
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("got %d, want 401", w.Code)
	}
}

func TestImplicitAndEarlyStatus(t *testing.T) {
	for name, test := range map[string]struct {
		fault http.HandlerFunc
		want  int
	}{
		"nothing written": {func(http.ResponseWriter, *http.Request) {}, 200},
		"only written":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, 200},
		"only flushed":    {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, 200},
		"103 first": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		}, 418},
		"hijacked": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n")
				_ = conn.Close()
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{})
			s.SetAPIFault(test.fault)
			server := httptest.NewServer(s)
			defer server.Close()
			send(t, server.Client(), request(t, "GET", server.URL, "", nil))
			if got := s.APIRequests()[0].Status; got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}

// TestManyAtOnce is for the race detector: everything at the same time.
func TestConcurrentRequests(t *testing.T) {
	s := New(Options{})
	server := httptest.NewServer(s)
	defer server.Close()
	client := server.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	var workers sync.WaitGroup
	for w := range 16 {
		token := fetch(t, s).AccessToken
		workers.Go(func() {
			for i := range 60 {
				target := []string{"/channels", "/reviews?count=3", "/events", "/invites", "/invite-rules"}[i%5]
				method, body := "GET", ""
				if i%5 >= 2 {
					method, body = "POST", `{"invites":[{}]}`
				}
				r, err := http.NewRequestWithContext(t.Context(), method, server.URL+target, strings.NewReader(body))
				if err != nil { // not with the helpers: t.Fatal belongs to the test's own goroutine
					t.Error(err)
					return
				}
				r.Header = bearer(token)
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode >= 300 {
					t.Errorf("%s %s: got status %d", method, target, resp.StatusCode)
				}
				switch (w + i) % 6 {
				case 0:
					s.APIRequests()
				case 1:
					s.TokenRequests()
				case 2:
					s.Tokens()
				case 3:
					s.SetLifetime(time.Minute)
					s.SetAPIDelay(0)
				case 4:
					s.SetClient("other", "x")
					s.RemoveClient("other")
				default:
					s.SetAPIFault(nil)
					s.SetTokenFault(nil)
				}
			}
		})
	}
	workers.Wait()
	if got := s.APIRequestCount(); got != 16*60 {
		t.Errorf("got %d requests", got)
	}
}

func BenchmarkChannels(b *testing.B) {
	s := New(Options{})
	token := s.tokens.issue("c", defaultAudience, "", time.Hour)
	r := httptest.NewRequest("GET", "/channels", nil)
	r.Header = bearer(token)
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func BenchmarkReviews(b *testing.B) {
	s := New(Options{})
	token := s.tokens.issue("c", defaultAudience, "", time.Hour)
	r := httptest.NewRequest("GET", "/reviews", nil)
	r.Header = bearer(token)
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
}
