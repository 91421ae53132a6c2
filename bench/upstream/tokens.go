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

// DefaultLifetime is that of tokens unless Settings say otherwise. eTrusted's live 300 s, which no bench waits for; with
// these, what a refresh costs is in every figure.
const DefaultLifetime = 16 * time.Second

// Settings are how token requests are answered.
type Settings struct {
	Lifetime time.Duration // zero means DefaultLifetime
	Delay    time.Duration // each answer is held back for so long
	Failing  bool          // with 503
}

// TokenRequest is when one arrived and when it was answered.
type TokenRequest struct {
	From, Until time.Time
	Status      int
}

// tokens are those issued. Looking one up is on the way of each request, so it takes no lock.
type tokens struct {
	settings atomic.Pointer[Settings]
	expiry   sync.Map // Authorization value to time.Time

	mu       sync.Mutex
	requests []TokenRequest
}

func newTokens() *tokens {
	t := &tokens{}
	t.set(Settings{})
	return t
}

func (t *tokens) set(s Settings) {
	if s.Lifetime == 0 {
		s.Lifetime = DefaultLifetime
	}
	t.settings.Store(&s)
}

// take returns the requests since the last call.
func (t *tokens) take() []TokenRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.requests
	t.requests = nil
	return taken
}

// issue makes a token; zero means that it lives for ever. Their number is that of the refreshes of one run, and none is
// forgotten.
func (t *tokens) issue(lifetime time.Duration) string {
	until := time.Now().Add(lifetime)
	if lifetime == 0 {
		until = until.AddDate(1, 0, 0)
	}
	// The size and the form of a JWT of eTrusted's.
	var random [660]byte
	_, _ = rand.Read(random[:]) // never fails
	text := base64.RawURLEncoding.EncodeToString(random[:])
	token := text[:80] + "." + text[80:538] + "." + text[538:]
	t.expiry.Store("Bearer "+token, until)
	return token
}

func (t *tokens) valid(authorization string) bool {
	until, ok := t.expiry.Load(authorization)
	return ok && time.Now().Before(until.(time.Time))
}

// ServeHTTP is the token endpoint.
func (t *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := TokenRequest{From: time.Now(), Status: http.StatusOK}
	settings := t.settings.Load()
	time.Sleep(settings.Delay)
	switch {
	case settings.Failing:
		request.Status = http.StatusServiceUnavailable
	case r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("client_id") != ClientID ||
		r.PostFormValue("client_secret") != ClientSecret || r.PostFormValue("audience") != Audience:
		request.Status = http.StatusUnauthorized
	}
	request.Until = time.Now()
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
