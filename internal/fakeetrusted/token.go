package fakeetrusted

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// The bounds of the stored tokens.
const (
	maxTokens      = 4096
	tokenRetention = 10 * time.Minute // after their expiry, so that tests can still search outputs for them
)

// serveToken handles a request to the token endpoint.
func (s *Server) serveToken(rw http.ResponseWriter, r *http.Request, sw settings) {
	entry := s.log.tokenArrived(r)
	w := &statusWriter{ResponseWriter: rw, report: func(status int) {
		s.log.token.complete(func() { entry.Status = status })
	}}
	body, err := readBody(w, r, maxForm)
	if err != nil {
		answerUnreadableBody(w, err)
		return
	}
	form, formErr := parseForm(r, body)
	s.log.token.complete(func() { entry.Form = cloneForm(form) })

	sleep(r.Context(), sw.tokenDelay)
	if sw.tokenFault != nil {
		sw.tokenFault.ServeHTTP(w, r)
	} else {
		s.answerToken(w, r, form, formErr, sw.lifetime)
	}
	w.final(http.StatusOK)
}

// parseForm parses the body as a form, and leaves it readable for fault handlers. Both results are nil if the
// Content-Type is not that of a form. It ignores the query: credentials in a URL end up in logs, so they must not work.
func parseForm(r *http.Request, body []byte) (url.Values, error) {
	if r.Method != http.MethodPost {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, nil
	}
	form, err := url.ParseQuery(string(body))
	r.PostForm, r.Form = form, form
	return form, err
}

// answerToken responds as eTrusted's login server does. Where its behaviour is unknown, this one is strict, so that
// what works here works there.
func (s *Server) answerToken(w http.ResponseWriter, r *http.Request, form url.Values, formErr error, lifetime time.Duration) {
	const (
		badRequest   = http.StatusBadRequest
		unauthorized = http.StatusUnauthorized
	)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answerOAuthError(w, http.StatusMethodNotAllowed, "invalid_request", "the token endpoint accepts POST only")
		return
	}
	// Credentials in an Authorization header are not accepted.
	if len(r.Header.Values("Authorization")) > 0 {
		answerOAuthError(w, unauthorized, "invalid_client", "Invalid client or Invalid client credentials")
		return
	}
	if form == nil || formErr != nil {
		answerOAuthError(w, badRequest, "invalid_request", "the body must be a form")
		return
	}
	for name, values := range form {
		if len(values) > 1 { // RFC 6749, section 3.2
			answerOAuthError(w, badRequest, "invalid_request", "repeated parameter: "+name)
			return
		}
	}
	if form.Get("grant_type") != "client_credentials" {
		answerOAuthError(w, badRequest, "unsupported_grant_type", "grant_type must be client_credentials")
		return
	}
	id := form.Get("client_id")
	if !s.hasClient(id, form.Get("client_secret")) {
		answerOAuthError(w, unauthorized, "invalid_client", "Invalid client or Invalid client credentials")
		return
	}
	if form.Get("audience") != s.audience {
		answerOAuthError(w, http.StatusForbidden, "access_denied", "Service not enabled within domain: the audience is missing or unknown")
		return
	}
	scope := form.Get("scope")
	if scope == "" {
		scope = "email profile"
	}
	answer := encode(struct {
		AccessToken      string `json:"access_token"`
		ExpiresIn        int64  `json:"expires_in"`
		RefreshExpiresIn int64  `json:"refresh_expires_in"`
		TokenType        string `json:"token_type"`
		NotBeforePolicy  int64  `json:"not-before-policy"`
		Scope            string `json:"scope"`
	}{
		AccessToken: s.tokens.issue(id, s.audience, scope, lifetime),
		ExpiresIn:   int64(lifetime / time.Second),
		TokenType:   "Bearer",
		Scope:       scope,
	})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	_, _ = w.Write(answer)
}

// tokens are the issued tokens. Lookup and issue take constant time.
type tokens struct {
	mu      sync.RWMutex
	known   map[string]grant
	order   []string // oldest first
	issued  uint64   // the number of tokens issued so far
	revoked uint64   // tokens up to this serial number are revoked
}

// grant describes one token.
type grant struct {
	serial  uint64
	expires time.Time
}

func newTokens() *tokens { return &tokens{known: make(map[string]grant)} }

// issue creates and stores a token for a client.
func (t *tokens) issue(client, audience, scope string, lifetime time.Duration) string {
	now := time.Now()
	token := newJWT(client, audience, scope, now, lifetime)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.evict(now)
	t.issued++
	t.known[token] = grant{serial: t.issued, expires: now.Add(lifetime)}
	t.order = append(t.order, token)
	return token
}

// evict makes space for one more token. It checks only the oldest: a long-lived token before short-lived ones delays
// their removal, up to maxTokens.
func (t *tokens) evict(now time.Time) {
	for len(t.order) > 0 {
		oldest := t.order[0]
		if len(t.order) < maxTokens && now.Sub(t.known[oldest].expires) < tokenRetention {
			return
		}
		delete(t.known, oldest)
		t.order[0] = "" // release the string: the array stays in use for a while
		t.order = t.order[1:]
	}
}

// valid reports whether the API accepts the token now.
func (t *tokens) valid(token string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	g, ok := t.known[token]
	return ok && g.serial > t.revoked && time.Now().Before(g.expires)
}

func (t *tokens) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revoked = t.issued
}

func (t *tokens) list() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return append([]string(nil), t.order...)
}

// newJWT returns a token in the form of eTrusted's Keycloak. The signature is random: the Server accepts the tokens
// that it has stored, and the token is useless elsewhere.
func newJWT(client, audience, scope string, now time.Time, lifetime time.Duration) string {
	seconds := int64(lifetime / time.Second)
	payload := encode(struct {
		Expires  int64  `json:"exp"`
		Issued   int64  `json:"iat"`
		ID       string `json:"jti"`
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Subject  string `json:"sub"`
		Type     string `json:"typ"`
		Client   string `json:"azp"`
		Scope    string `json:"scope"`
	}{
		Expires:  now.Unix() + seconds, // like expires_in: exp - iat is whole seconds
		Issued:   now.Unix(),
		ID:       randomUUID(),
		Issuer:   "https://login.etrusted.example/auth/realms/business",
		Audience: audience,
		Subject:  stableUUID("subject of " + client),
		Type:     "Bearer",
		Client:   client,
		Scope:    scope,
	})
	var signature [256]byte // RS256 with a key of 2048 bits
	_, _ = rand.Read(signature[:])
	segment := base64.RawURLEncoding.EncodeToString
	return strings.Join([]string{
		segment([]byte(`{"alg":"RS256","typ":"JWT","kid":"stand-in"}`)),
		segment(payload),
		segment(signature[:]),
	}, ".")
}

// randomUUID returns a UUID of version 4.
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	return formatUUID(b, 4)
}

func formatUUID(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
