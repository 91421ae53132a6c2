package upstream

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLifetime is the lifetime of tokens unless Settings contain another one. eTrusted's tokens live 300 s, which is too long
// for a benchmark. With 16 s, every figure includes refreshes.
const DefaultLifetime = 16 * time.Second

// Settings configure the responses to token requests.
type Settings struct {
	Lifetime time.Duration // zero means DefaultLifetime
	Delay    time.Duration // before each response
	Failing  bool          // respond with 503
}

// TokenRequest is the record of one request to the token endpoint.
type TokenRequest struct {
	Start, End time.Time
	Status     int
}

// tokenServer issues tokens and validates them. Every API request looks up its token, so the lookup takes no lock.
type tokenServer struct {
	settings atomic.Pointer[Settings]
	expiry   sync.Map // Authorization value to time.Time

	mu       sync.Mutex
	requests []TokenRequest
}

func newTokenServer() *tokenServer {
	t := &tokenServer{}
	t.configure(Settings{})
	return t
}

func (t *tokenServer) configure(s Settings) {
	if s.Lifetime == 0 {
		s.Lifetime = DefaultLifetime
	}
	t.settings.Store(&s)
}

// takeRequests returns the token requests since the last call.
func (t *tokenServer) takeRequests() []TokenRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.requests
	t.requests = nil
	return taken
}

// issue creates a token. A lifetime of zero means one year, longer than any run. Tokens are never deleted: there are only as many as
// refreshes in one run.
func (t *tokenServer) issue(lifetime time.Duration) string {
	expiry := time.Now().Add(lifetime)
	if lifetime == 0 {
		expiry = expiry.AddDate(1, 0, 0)
	}
	// The size and the format of eTrusted's JWTs.
	var random [660]byte
	_, _ = rand.Read(random[:]) // never fails
	text := base64.RawURLEncoding.EncodeToString(random[:])
	token := text[:80] + "." + text[80:538] + "." + text[538:]
	t.expiry.Store("Bearer "+token, expiry)
	return token
}

func (t *tokenServer) valid(authorization string) bool {
	expiry, ok := t.expiry.Load(authorization)
	return ok && time.Now().Before(expiry.(time.Time))
}

// ServeHTTP serves the token endpoint.
func (t *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := TokenRequest{Start: time.Now(), Status: http.StatusOK}
	settings := t.settings.Load()
	time.Sleep(settings.Delay)
	switch {
	case settings.Failing:
		request.Status = http.StatusServiceUnavailable
	case r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("client_id") != ClientID ||
		r.PostFormValue("client_secret") != ClientSecret || r.PostFormValue("audience") != Audience:
		request.Status = http.StatusUnauthorized
	}
	request.End = time.Now()
	t.mu.Lock()
	t.requests = append(t.requests, request)
	t.mu.Unlock()

	w.Header()["Content-Type"] = []string{"application/json"}
	w.WriteHeader(request.Status)
	if request.Status == http.StatusOK {
		_, _ = fmt.Fprintf(w, `{"access_token":"%s","expires_in":%d,"token_type":"Bearer"}`,
			t.issue(settings.Lifetime), int(settings.Lifetime.Seconds()))
	}
}
