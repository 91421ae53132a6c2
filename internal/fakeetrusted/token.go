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

// The bounds of the tokens remembered.
const (
	maxTokens    = 4096
	forgetTokens = 10 * time.Minute // after their expiry: long enough to look for them in what a test has gathered
)

// serveToken is the token endpoint: one request, from its arrival to its answer.
func (s *Server) serveToken(rw http.ResponseWriter, r *http.Request, sw switches) {
	entry := s.log.tokenArrived(r)
	w := &statusWriter{ResponseWriter: rw, report: func(status int) {
		s.log.token.complete(func() { entry.Status = status })
	}}
	body, err := readBody(w, r, maxForm)
	if err != nil {
		answerUnread(w, err)
		return
	}
	form, formErr := parseForm(r, body)
	s.log.token.complete(func() { entry.Form = cloneForm(form) })

	pause(r.Context(), sw.tokenDelay)
	if sw.tokenFault != nil {
		sw.tokenFault.ServeHTTP(w, r)
	} else {
		s.answerToken(w, r, form, formErr, sw.lifetime)
	}
	w.final(http.StatusOK)
}

// parseForm reads the body as a form, and leaves it in r for faults to find. Both results are nil if the body does not
// say that it is a form. The query is not looked at: credentials in a URL end up in logs, so they must not work.
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

// answerToken decides as eTrusted's login server does, so far as it is known, and is strict where it is not: what works
// here should work there.
func (s *Server) answerToken(w http.ResponseWriter, r *http.Request, form url.Values, formErr error, lifetime time.Duration) {
	const (
		badRequest   = http.StatusBadRequest
		unauthorized = http.StatusUnauthorized
	)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answerOAuthError(w, http.StatusMethodNotAllowed, "invalid_request", "the token endpoint takes POST alone")
		return
	}
	// Credentials in a Basic header are not accepted, and nothing else belongs there either.
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
	if !s.knows(id, form.Get("client_secret")) {
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

// tokens are those issued. Looking one up and issuing one cost the same however many there are.
type tokens struct {
	mu      sync.RWMutex
	known   map[string]grant
	order   []string // of issue, oldest first
	issued  uint64   // how many, ever
	revoked uint64   // the serial number up to which all are revoked
}

// grant is what is known about one token.
type grant struct {
	serial  uint64
	expires time.Time
}

func newTokens() *tokens { return &tokens{known: make(map[string]grant)} }

// issue makes a token for a client and remembers it.
func (t *tokens) issue(client, audience, scope string, lifetime time.Duration) string {
	now := time.Now()
	token := newJWT(client, audience, scope, now, lifetime)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	t.issued++
	t.known[token] = grant{serial: t.issued, expires: now.Add(lifetime)}
	t.order = append(t.order, token)
	return token
}

// forget makes room for one more. It looks at the oldest alone: each token is looked at once when it goes, and a
// long-lived one in front of short-lived ones costs memory only, up to maxTokens.
func (t *tokens) forget(now time.Time) {
	for len(t.order) > 0 {
		oldest := t.order[0]
		if len(t.order) < maxTokens && now.Sub(t.known[oldest].expires) < forgetTokens {
			return
		}
		delete(t.known, oldest)
		t.order[0] = "" // the array behind the slice lives on for a while
		t.order = t.order[1:]
	}
}

// valid tells whether the API takes the token now.
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

func (t *tokens) remembered() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return append([]string(nil), t.order...)
}

// newJWT makes what looks like an access token of eTrusted's Keycloak. The signature is random bytes of the right
// length: nobody verifies it here, the Server takes a token because it remembers having issued it. Whoever gets one
// elsewhere can do nothing with it.
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
