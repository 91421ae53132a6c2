// Package fakeetrusted is a fake eTrusted: the login server's token endpoint and the API with sample data, in one
// http.Handler. The demo runs the broker in front of it, and tests make it fail in various ways.
//
// It is not secure: its tokens have no valid signature, and it stores secrets and tokens in plain text, so that tests
// can search outputs for them. Use it with made-up credentials only.
package fakeetrusted

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// The client that a Server has by default.
const (
	// DefaultClientID has the form of real ones: twelve hexadecimal digits, two underscores, the identifier.
	DefaultClientID = "a1b2c3d4e5f6__demo"
	// DefaultClientSecret is long and unusual, so that finding it in an output is not a coincidence.
	DefaultClientSecret = "stand-in-secret-not-a-real-one"
)

const (
	defaultLifetime = 300 * time.Second // as at eTrusted
	defaultAudience = "https://api.etrusted.com"
)

// The paths of the token endpoint: existing shop software uses either.
const (
	tokenPath       = "/oauth/token"
	legacyTokenPath = "/auth/realms/business/protocol/openid-connect/token"
)

// Options configure New. The zero value is valid.
type Options struct {
	// ClientID and ClientSecret are the first client; empty means DefaultClientID and DefaultClientSecret.
	ClientID, ClientSecret string
	// Lifetime of tokens; zero means 300 s. It is sent as expires_in in whole seconds, rounded down, so that tokens
	// never expire early. If it is negative, tokens have already expired when they are issued.
	Lifetime time.Duration
	// Audience is the value that token requests must send; empty means https://api.etrusted.com.
	Audience string
}

// Server is a fake eTrusted. All methods may be called at any time from any goroutine. Setters take effect with the
// next request and do not affect requests in flight. Server starts no goroutine, needs no closing, and works in a
// testing/synctest bubble.
type Server struct {
	audience string // never changes
	tokens   *tokens
	log      *requestLog
	shop     *shop

	mu       sync.RWMutex // never held while waiting or answering
	settings settings
	clients  map[string]string // id to secret
}

// settings are the settings that a request reads once, when it arrives.
type settings struct {
	lifetime             time.Duration
	tokenDelay, apiDelay time.Duration
	tokenFault, apiFault http.Handler
}

// New returns a Server without faults or recorded requests.
func New(o Options) *Server {
	if o.ClientID == "" {
		o.ClientID = DefaultClientID
	}
	if o.ClientSecret == "" {
		o.ClientSecret = DefaultClientSecret
	}
	if o.Audience == "" {
		o.Audience = defaultAudience
	}
	s := &Server{
		audience: o.Audience,
		tokens:   newTokens(),
		log:      newRequestLog(),
		shop:     newShop(),
		clients:  map[string]string{o.ClientID: o.ClientSecret},
	}
	s.SetLifetime(o.Lifetime)
	return s
}

// ServeHTTP responds as eTrusted does, or as the fault handlers do. A request is counted and recorded, its body is
// read, it is delayed, and it is answered, in this order. So TokenRequestCount and APIRequestCount include requests
// that still wait for their response.
//
// Fault handlers can read the body from its start.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	sw := s.settings
	s.mu.RUnlock()
	if r.URL.Path == tokenPath || r.URL.Path == legacyTokenPath {
		s.serveToken(w, r, sw)
	} else {
		s.serveAPI(w, r, sw)
	}
}

// SetLifetime sets the lifetime of tokens issued from now on; those issued before keep theirs. Zero means 300 s; see
// [Options] for fractions of a second and negative values.
func (s *Server) SetLifetime(d time.Duration) {
	if d == 0 {
		d = defaultLifetime
	}
	s.set(func(sw *settings) { sw.lifetime = d })
}

// SetTokenDelay delays each response of the token endpoint by d, or until the request's context is done. The token's
// lifetime starts after the delay.
func (s *Server) SetTokenDelay(d time.Duration) { s.set(func(sw *settings) { sw.tokenDelay = d }) }

// SetAPIDelay delays each response of the API by d, or until the request's context is done.
func (s *Server) SetAPIDelay(d time.Duration) { s.set(func(sw *settings) { sw.apiDelay = d }) }

// SetTokenFault makes h answer token requests, after the delay. They are still recorded, and their form is parsed. nil
// removes the fault.
func (s *Server) SetTokenFault(h http.Handler) { s.set(func(sw *settings) { sw.tokenFault = h }) }

// SetAPIFault makes h answer API requests, after the delay and whatever their token. They are still recorded. nil
// removes the fault.
func (s *Server) SetAPIFault(h http.Handler) { s.set(func(sw *settings) { sw.apiFault = h }) }

func (s *Server) set(change func(*settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.settings)
}

// SetClient adds a client or replaces its secret. The old secret is invalid from now on; issued tokens stay valid, as
// at eTrusted.
func (s *Server) SetClient(id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = secret
}

// RemoveClient removes a client, if it exists. Its token requests are rejected from now on; its tokens stay valid until
// Revoke.
func (s *Server) RemoveClient(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, id)
}

// hasClient reports whether a client has this secret.
func (s *Server) hasClient(id, secret string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	want, ok := s.clients[id]
	return ok && want == secret
}

// Revoke invalidates all tokens issued so far: the API answers 401.
func (s *Server) Revoke() { s.tokens.revoke() }

// Tokens returns the access tokens issued so far, oldest first, including expired and revoked ones. Tokens are dropped
// some minutes after their expiry, and the oldest when there are more than 4096.
func (s *Server) Tokens() []string { return s.tokens.list() }

// TokenRequestCount returns the number of token requests so far, including those not answered yet.
func (s *Server) TokenRequestCount() int { return s.log.token.count() }

// APIRequestCount returns the number of API requests so far, including those not answered yet.
func (s *Server) APIRequestCount() int { return s.log.api.count() }

// TokenRequests returns the last 1000 token requests, oldest first. The caller owns the result.
func (s *Server) TokenRequests() []TokenRequest { return s.log.tokenRequests() }

// APIRequests returns the last 1000 API requests, oldest first. Only the last 16 bodies are kept. The caller owns the
// result, except the bodies, which must not be modified.
func (s *Server) APIRequests() []APIRequest { return s.log.apiRequests() }

// sleep waits for d or until ctx is done. No lock may be held.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
