package e2e

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// api is an API that lets nobody in without a token of the OP: it verifies signature, issuer, audience and expiry with
// the keys that the OP publishes, and asks it whether the token was revoked.
type api struct {
	url      string
	login    *login
	verifier *op.AccessTokenVerifier

	mu        sync.Mutex
	calls     []call
	before401 func()
}

// call is a request that the API has seen.
type call struct {
	method, path string
	body         []byte
	token        string
	proto        string
	status       int
	reason       string // why not 200
}

func startAPI(t *testing.T, a *authority, l *login) *api {
	t.Helper()
	s := &api{
		login:     l,
		verifier:  op.NewAccessTokenVerifier(l.url, rp.NewRemoteKeySet(a.client(t), l.url+"/keys"), op.WithSupportedAccessTokenSigningAlgorithms("RS256")),
		before401: func() {},
	}
	s.url = a.serve(t, func(string) http.Handler { return s })
	return s
}

func (s *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := call{method: r.Method, path: r.RequestURI, proto: r.Proto, status: http.StatusOK}
	var err error
	if seen.body, err = io.ReadAll(r.Body); err != nil {
		panic(http.ErrAbortHandler) // a body that is cut is a request that did not come
	}
	seen.token, err = s.authorize(r)
	if err != nil {
		seen.status, seen.reason = http.StatusUnauthorized, err.Error()
	}
	s.mu.Lock()
	s.calls = append(s.calls, seen)
	before401 := s.before401
	s.mu.Unlock()
	if err != nil {
		before401()
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized) // without a body, as eTrusted
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func (s *api) authorize(r *http.Request) (token string, err error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", errors.New("not one Authorization header")
	}
	token, isBearer := strings.CutPrefix(values[0], "Bearer ")
	if !isBearer {
		return "", errors.New("not a Bearer token")
	}
	claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](r.Context(), token, s.verifier)
	switch {
	case err != nil:
		return token, err
	case !slices.Equal(claims.Audience, []string{s.url}):
		return token, errors.New("a token for another audience")
	case claims.Subject != clientID:
		return token, errors.New("a token of another client")
	}
	return token, s.login.check(claims.JWTID)
}

// all returns the requests in the order in which they came.
func (s *api) all() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// refused returns those that got a 401.
func (s *api) refused() []call {
	return slices.DeleteFunc(s.all(), func(c call) bool { return c.status == http.StatusOK })
}

// tokens returns the tokens that came, each once, in the order of their first coming.
func (s *api) tokens() []string {
	var tokens []string
	for _, c := range s.all() {
		if !slices.Contains(tokens, c.token) {
			tokens = append(tokens, c.token)
		}
	}
	return tokens
}

// onlyToken returns the token that came, and fails the test if there was any other.
func (s *api) onlyToken(t *testing.T) string {
	t.Helper()
	tokens := s.tokens()
	if len(tokens) != 1 {
		t.Fatalf("the API saw %d tokens, want 1", len(tokens))
	}
	return tokens[0]
}

// holdRefusals has a 401 wait until there are so many of them.
func (s *api) holdRefusals(n int) {
	var mu sync.Mutex
	together := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before401 = func() {
		mu.Lock()
		if n--; n == 0 {
			close(together)
		}
		mu.Unlock()
		select {
		case <-together:
		case <-afterPatience():
		}
	}
}
