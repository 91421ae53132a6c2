// Package fakeetrusted is a stand-in for eTrusted: the login server's token endpoint and the API with sample data, on
// one http.Handler. The demo puts it behind the broker, and tests switch its faults on to see what the broker does on
// the login server's bad days.
//
// Nothing in it is safe to trust: its tokens are signed by nobody, and it remembers secrets and tokens in the clear so
// that a test can search every output for them. It must only ever hold made-up credentials.
package fakeetrusted

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// The client that a Server knows from the start unless Options name another.
const (
	// DefaultClientID has the form seen in use: twelve hexadecimal digits, two underscores, the identifier.
	DefaultClientID = "a1b2c3d4e5f6__demo"
	// DefaultClientSecret is long and odd enough that finding it in an output is no coincidence.
	DefaultClientSecret = "stand-in-secret-not-a-real-one"
)

const (
	defaultLifetime = 300 * time.Second // what eTrusted gives
	defaultAudience = "https://api.etrusted.com"
)

// The token endpoint answers on both paths: shops' code in the wild uses either.
const (
	tokenPath       = "/oauth/token"
	legacyTokenPath = "/auth/realms/business/protocol/openid-connect/token"
)

// Options are what a Server starts with. The zero value is useful.
type Options struct {
	// ClientID and ClientSecret are the first client; each, if empty, is its default.
	ClientID, ClientSecret string
	// Lifetime of tokens; zero means 300 s. It is sent as expires_in in whole seconds, rounded down, so a token never
	// dies before it was said to. A negative one makes tokens that are dead on arrival.
	Lifetime time.Duration
	// Audience is the value that token requests must bear; empty means https://api.etrusted.com.
	Audience string
}

// Server is the stand-in. All its methods may be called at any time from any goroutine; those that switch something
// take effect from the next request on and leave requests in flight as they are. It starts no goroutine and needs no
// closing. Time comes from the time package, so it may live in a testing/synctest bubble.
type Server struct {
	audience string // never changes
	tokens   *tokens
	log      *record
	shop     *shop

	mu       sync.RWMutex // never held while waiting or answering
	switches switches
	clients  map[string]string // id to secret
}

// switches is what one request looks at once, on arrival.
type switches struct {
	lifetime             time.Duration
	tokenDelay, apiDelay time.Duration
	tokenFault, apiFault http.Handler
}

// New returns a Server that is healthy and has seen nothing.
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
		log:      newRecord(),
		shop:     newShop(),
		clients:  map[string]string{o.ClientID: o.ClientSecret},
	}
	s.SetLifetime(o.Lifetime)
	return s
}

// ServeHTTP answers as eTrusted would, or as the faults that are switched on would have it. In this order a request is
// counted and recorded, its body is read to the end, it is delayed, and it is answered: so a test may see a request in
// TokenRequestCount or APIRequestCount while its answer is still held back.
//
// Fault handlers find the body unread, from its start.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	sw := s.switches
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
	s.set(func(sw *switches) { sw.lifetime = d })
}

// SetTokenDelay holds back each answer of the token endpoint by d, or until the request's context is done. The token's
// lifetime begins when the delay is over. Zero means no delay.
func (s *Server) SetTokenDelay(d time.Duration) { s.set(func(sw *switches) { sw.tokenDelay = d }) }

// SetAPIDelay holds back each answer of the API by d, or until the request's context is done. Zero means no delay.
func (s *Server) SetAPIDelay(d time.Duration) { s.set(func(sw *switches) { sw.apiDelay = d }) }

// SetTokenFault lets h answer token requests instead, after the delay. They are recorded all the same, and h finds the
// form parsed. nil heals.
func (s *Server) SetTokenFault(h http.Handler) { s.set(func(sw *switches) { sw.tokenFault = h }) }

// SetAPIFault lets h answer API requests instead, after the delay and whatever their token. They are recorded all the
// same. nil heals.
func (s *Server) SetAPIFault(h http.Handler) { s.set(func(sw *switches) { sw.apiFault = h }) }

func (s *Server) set(change func(*switches)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.switches)
}

// SetClient adds a client, or gives a known one another secret, as a rotation does: the old secret is worth nothing
// from now on, but tokens issued for it live on, as they do at eTrusted.
func (s *Server) SetClient(id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = secret
}

// RemoveClient forgets a client: its token requests are rejected from now on; its tokens live on. Use Revoke to end
// those. Removing an unknown client does nothing.
func (s *Server) RemoveClient(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, id)
}

// knows tells whether the pair is a client's.
func (s *Server) knows(id, secret string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	want, ok := s.clients[id]
	return ok && want == secret
}

// Revoke ends every token issued so far, of every client: the API answers them with 401 from now on.
func (s *Server) Revoke() { s.tokens.revoke() }

// Tokens returns the access tokens issued so far, oldest first, the expired and the revoked ones included. It is
// bounded: a token is forgotten some minutes after its expiry, and the oldest are when there are more than 4096.
func (s *Server) Tokens() []string { return s.tokens.remembered() }

// TokenRequestCount returns how many token requests have arrived, ever; those not yet answered count.
func (s *Server) TokenRequestCount() int { return s.log.token.count() }

// APIRequestCount returns how many API requests have arrived, ever; those not yet answered count.
func (s *Server) APIRequestCount() int { return s.log.api.count() }

// TokenRequests returns the last 1000 token requests, oldest first. The caller owns the result.
func (s *Server) TokenRequests() []TokenRequest { return s.log.tokenRequests() }

// APIRequests returns the last 1000 API requests, oldest first. Of these only the last 16 that had a body still have it.
// The caller owns the result, but for the bodies: those are shared and must not be written to.
func (s *Server) APIRequests() []APIRequest { return s.log.apiRequests() }

// pause waits for d or for the end of ctx, whichever comes first. No lock may be held.
func pause(ctx context.Context, d time.Duration) {
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
