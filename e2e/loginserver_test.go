package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"etrusted-broker/internal/brokertest"
)

// clientID has the form that eTrusted uses: a prefix, two underscores, the identifier.
const clientID = "0123456789ab__shop"

// loginServer is the OAuth2 authorization server: zitadel's OpenID provider (OP) with one client.
type loginServer struct {
	*opStorage
	url string

	mu       sync.Mutex
	requests []tokenRequest
}

// tokenRequest is a request to the token endpoint as received, and the status of its response.
type tokenRequest struct {
	url    string
	header http.Header
	form   url.Values
	status int
}

// startLoginServer serves an OP until the test ends. The lifetime of its tokens must be whole seconds.
func startLoginServer(t *testing.T, a *testCA, secret string, lifetime time.Duration) *loginServer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l := &loginServer{opStorage: &opStorage{key: key, secret: secret, lifetime: lifetime, issued: map[string]*issuedToken{}}}
	l.url = a.startServer(t, func(issuer string) http.Handler {
		provider, err := op.NewProvider(&op.Config{AuthMethodPost: true}, l.opStorage, op.StaticIssuer(issuer))
		if err != nil {
			t.Fatal(err)
		}
		return l.record(provider)
	})
	return l
}

func (l *loginServer) tokenURL() string { return l.url + "/oauth/token" }

type audienceKey struct{}

// record keeps the token requests, and passes the audience to the storage in the context: the OP itself ignores that parameter.
func (l *loginServer) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/oauth/token" {
			next.ServeHTTP(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			http.Error(w, "not a form", http.StatusBadRequest)
			return
		}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r.WithContext(context.WithValue(r.Context(), audienceKey{}, r.PostForm["audience"])))
		l.mu.Lock()
		l.requests = append(l.requests, tokenRequest{r.Method + " " + r.RequestURI, r.Header.Clone(), r.PostForm, recorder.Code})
		l.mu.Unlock()
		sendRecorded(w, recorder)
	})
}

// sendRecorded sends a recorded response.
func sendRecorded(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), recorder.Header())
	w.WriteHeader(recorder.Code)
	_, _ = recorder.Body.WriteTo(w)
}

// tokenRequests returns the requests that have been answered.
func (l *loginServer) tokenRequests() []tokenRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

// statuses returns those of its responses.
func (l *loginServer) statuses() (all []int) {
	for _, request := range l.tokenRequests() {
		all = append(all, request.status)
	}
	return all
}

// revoke revokes a token at the OP's revocation endpoint (RFC 7009).
func (l *loginServer) revoke(t *testing.T, client *http.Client, token string) {
	t.Helper()
	got := brokertest.ReadResponse(client.PostForm(l.url+"/revoke", url.Values{
		"token": {token}, "token_type_hint": {"access_token"}, "client_id": {clientID}, "client_secret": {l.currentSecret()},
	}))
	if got.Status != http.StatusOK {
		t.Fatalf("revoking the token: got %d %s (%v), want 200", got.Status, got.Body, got.Err)
	}
}

// opStorage implements the OP's storage for client credentials. The embedded interface is nil: it provides the methods for
// flows with a browser, which are never called.
type opStorage struct {
	op.Storage
	key      *rsa.PrivateKey
	lifetime time.Duration

	mu     sync.Mutex
	secret string
	issued map[string]*issuedToken // by id
}

type issuedToken struct {
	expiry  time.Time
	revoked bool
}

// setSecret replaces the client's secret. The old one stops working at once; tokens fetched with it stay valid.
func (s *opStorage) setSecret(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}

func (s *opStorage) currentSecret() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secret
}

// checkToken returns an error if the token is unknown or revoked, or if its lifetime (expires_in) is over. That is stricter
// than the exp claim, which is rounded to whole seconds.
func (s *opStorage) checkToken(tokenID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch token := s.issued[tokenID]; {
	case token == nil:
		return errors.New("unknown token")
	case token.revoked:
		return errors.New("revoked token")
	case time.Now().After(token.expiry):
		return errors.New("token past its expires_in")
	}
	return nil
}

func (s *opStorage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != clientID || secret != s.currentSecret() {
		return errors.New("wrong client or secret")
	}
	return nil
}

func (s *opStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return shopClient{}, nil
}

func (s *opStorage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != clientID {
		return nil, errors.New("no such client")
	}
	return shopClient{}, nil
}

func (s *opStorage) ClientCredentialsTokenRequest(ctx context.Context, id string, scopes []string) (op.TokenRequest, error) {
	audience, _ := ctx.Value(audienceKey{}).([]string)
	if len(audience) == 0 {
		return nil, oidc.ErrInvalidRequest().WithDescription("audience missing") // as eTrusted requires
	}
	return grantedRequest{id, audience, scopes}, nil
}

func (s *opStorage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, expiry := rand.Text(), time.Now().Add(s.lifetime)
	s.issued[id] = &issuedToken{expiry: expiry}
	// The OP computes expires_in from the time that is left, rounded down. With the next full second the result is the
	// lifetime.
	return id, expiry.Truncate(time.Second).Add(time.Second), nil
}

func (s *opStorage) RevokeToken(_ context.Context, tokenID, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token := s.issued[tokenID]; token != nil {
		token.revoked = true
		return nil
	}
	return oidc.ErrInvalidRequest().WithDescription("no such token")
}

func (s *opStorage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *opStorage) SigningKey(context.Context) (op.SigningKey, error) { return signingKey{s.key}, nil }

func (s *opStorage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{s.key}}, nil }

type signingKey struct{ key *rsa.PrivateKey }

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return "key-1" }

type publicKey struct{ key *rsa.PrivateKey }

func (k publicKey) ID() string                         { return "key-1" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.key.Public() }

// shopClient is the one client. The embedded interface is nil, as in opStorage.
type shopClient struct{ op.Client }

func (shopClient) GetID() string               { return clientID }
func (shopClient) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodPost }
func (shopClient) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeClientCredentials}
}
func (shopClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (shopClient) ClockSkew() time.Duration            { return 0 }
func (shopClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

type grantedRequest struct {
	subject          string
	audience, scopes []string
}

func (g grantedRequest) GetSubject() string    { return g.subject }
func (g grantedRequest) GetAudience() []string { return g.audience }
func (g grantedRequest) GetScopes() []string   { return g.scopes }

// signature returns the signature of a JWT. Without it the rest of the token is useless, so tests search for this part.
func signature(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }
