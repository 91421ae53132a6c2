package fakeetrusted

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// goodForm is a token request that the default Server grants.
func goodForm() url.Values {
	return url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {DefaultClientID},
		"client_secret": {DefaultClientSecret},
		"audience":      {"https://api.etrusted.com"},
	}
}

// answer is a response read to its end, so that no test has a body to close.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request straight to the handler.
func do(t *testing.T, h http.Handler, method, target, body string, header http.Header) answer {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

func postForm(t *testing.T, h http.Handler, path string, form url.Values) answer {
	t.Helper()
	return do(t, h, "POST", path, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

// tokenAnswer is what a client makes of a granted token request.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
}

func fetch(t *testing.T, h http.Handler) tokenAnswer {
	t.Helper()
	var a tokenAnswer
	decodeAnswer(t, postForm(t, h, tokenPath, goodForm()), http.StatusOK, &a)
	return a
}

// call sends an API request with a fresh token.
func call(t *testing.T, s *Server, method, target, body string) answer {
	t.Helper()
	return do(t, s, method, target, body, bearer(fetch(t, s).AccessToken))
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

// send sends a request over a network and reads the whole response.
func send(t *testing.T, client *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func request(t *testing.T, method, target, body string, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	return r
}

func wantStatus(t *testing.T, got answer, want int) {
	t.Helper()
	if got.status != want {
		t.Fatalf("status %d, want %d; body: %s", got.status, want, got.body)
	}
}

func decodeAnswer(t *testing.T, got answer, wantCode int, v any) {
	t.Helper()
	wantStatus(t, got, wantCode)
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("got Content-Type %q, want application/json", kind)
	}
	if err := json.Unmarshal([]byte(got.body), v); err != nil {
		t.Fatalf("got error %v for body %s", err, got.body)
	}
}
