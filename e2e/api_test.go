package e2e

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"etrusted-broker/internal/brokertest"
)

// apiServer is an API that requires a token from the login server. It verifies signature, issuer, audience and expiry with the
// published keys, and checks that the token was not revoked.
type apiServer struct {
	url      string
	login    *loginServer
	verifier *op.AccessTokenVerifier

	mu              sync.Mutex
	received        []apiRequest
	beforeRejecting func()
}

// apiRequest is a request that the API received.
type apiRequest struct {
	method, path string
	body         []byte
	token        string
	proto        string
	status       int
	reason       string // why the status is not 200
}

func startAPI(t *testing.T, a *testCA, l *loginServer) *apiServer {
	t.Helper()
	s := &apiServer{
		login:           l,
		verifier:        op.NewAccessTokenVerifier(l.url, rp.NewRemoteKeySet(a.client(t), l.url+"/keys"), op.WithSupportedAccessTokenSigningAlgorithms("RS256")),
		beforeRejecting: func() {},
	}
	s.url = a.startServer(t, func(string) http.Handler { return s })
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := apiRequest{method: r.Method, path: r.RequestURI, proto: r.Proto, status: http.StatusOK}
	var err error
	if request.body, err = io.ReadAll(r.Body); err != nil {
		panic(http.ErrAbortHandler) // a request with a truncated body does not count
	}
	request.token, err = s.verifyToken(r)
	if err != nil {
		request.status, request.reason = http.StatusUnauthorized, err.Error()
	}
	s.mu.Lock()
	s.received = append(s.received, request)
	before401 := s.beforeRejecting
	s.mu.Unlock()
	if err != nil {
		before401()
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized) // without a body, like eTrusted
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"ok":true}`)
}

func (s *apiServer) verifyToken(r *http.Request) (token string, err error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", errors.New("not exactly one Authorization header")
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
		return token, errors.New("token for another audience")
	case claims.Subject != clientID:
		return token, errors.New("token of another client")
	}
	return token, s.login.checkToken(claims.JWTID)
}

// requests returns all requests in the order of arrival.
func (s *apiServer) requests() []apiRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// wantNoneRejected fails the test if the API answered any request with a 401.
func (s *apiServer) wantNoneRejected(t *testing.T) {
	t.Helper()
	rejected := slices.DeleteFunc(s.requests(), func(c apiRequest) bool { return c.status == http.StatusOK })
	if len(rejected) > 0 {
		t.Errorf("the API rejected %d requests, want 0; reason of the first: %s", len(rejected), rejected[0].reason)
	}
}

// tokens returns each token that the API received, once, in the order of first use.
func (s *apiServer) tokens() []string {
	var tokens []string
	for _, c := range s.requests() {
		if !slices.Contains(tokens, c.token) {
			tokens = append(tokens, c.token)
		}
	}
	return tokens
}

// onlyToken returns the one token that the API received, and fails the test if there were more or none.
func (s *apiServer) onlyToken(t *testing.T) string {
	t.Helper()
	tokens := s.tokens()
	if len(tokens) != 1 {
		t.Fatalf("the API received %d different tokens, want 1", len(tokens))
	}
	return tokens[0]
}

// holdRejections delays the next n responses with status 401 until there are n of them, so that all are sent at the same time.
func (s *apiServer) holdRejections(n int) {
	var mu sync.Mutex
	allHere := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beforeRejecting = func() {
		mu.Lock()
		if n--; n == 0 {
			close(allHere)
		}
		mu.Unlock()
		select {
		case <-allHere:
		case <-time.After(brokertest.Timeout):
		}
	}
}
