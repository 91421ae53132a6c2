package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// clientID has the form that is seen at eTrusted: a prefix, two underscores, the identifier.
const clientID = "0123456789ab__shop"

// login is zitadel's OP with one client.
type login struct {
	*storage
	url string

	mu       sync.Mutex
	requests []tokenRequest
}

// tokenRequest is a request to the token endpoint, as it came, and the status of its answer.
type tokenRequest struct {
	url    string
	header http.Header
	form   url.Values
	status int
}

// startLogin serves an OP whose tokens live so long: whole seconds.
func startLogin(t *testing.T, a *authority, secret string, lifetime time.Duration) *login {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l := &login{storage: &storage{key: key, secret: secret, lifetime: lifetime, issued: map[string]*issuedToken{}}}
	l.url = a.serve(t, func(issuer string) http.Handler {
		provider, err := op.NewProvider(&op.Config{AuthMethodPost: true}, l.storage, op.StaticIssuer(issuer))
		if err != nil {
			t.Fatal(err)
		}
		return l.record(provider)
	})
	return l
}

func (l *login) tokenURL() string { return l.url + "/oauth/token" }

type audienceKey struct{}

// record keeps the token requests, and hands the audience on to the storage: the OP itself has no notion of it.
func (l *login) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/oauth/token" {
			next.ServeHTTP(w, r)
			return
		}
		if err := r.ParseForm(); err != nil {
			http.Error(w, "not a form", http.StatusBadRequest)
			return
		}
		answer := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), audienceKey{}, r.PostForm["audience"])))
		// The answer is small enough to leave when this function returns: who has it finds the request recorded.
		l.mu.Lock()
		defer l.mu.Unlock()
		l.requests = append(l.requests, tokenRequest{r.Method + " " + r.RequestURI, r.Header.Clone(), r.PostForm, answer.status})
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// tokenRequests returns those that have been answered.
func (l *login) tokenRequests() []tokenRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

// revoke revokes a token at the OP's own endpoint for that: RFC 7009.
func (l *login) revoke(t *testing.T, client *http.Client, token string) {
	t.Helper()
	response, err := client.PostForm(l.url+"/revoke", url.Values{
		"token": {token}, "token_type_hint": {"access_token"}, "client_id": {clientID}, "client_secret": {l.currentSecret()},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the OP does not revoke the token: %s", response.Status)
	}
}

// storage is what the OP knows. The embedded interface, which is nil, has the methods of the flows with a browser, which
// nobody calls.
type storage struct {
	op.Storage
	key      *rsa.PrivateKey
	lifetime time.Duration

	guard  sync.Mutex
	secret string
	issued map[string]*issuedToken // by id
}

type issuedToken struct {
	until   time.Time
	revoked bool
}

// setSecret replaces the client's secret: the old one is dead at once, the tokens fetched with it live on.
func (s *storage) setSecret(secret string) {
	s.guard.Lock()
	defer s.guard.Unlock()
	s.secret = secret
}

func (s *storage) currentSecret() string {
	s.guard.Lock()
	defer s.guard.Unlock()
	return s.secret
}

// check returns an error if the token is revoked, or older than expires_in said. That is stricter than its exp, which
// has whole seconds.
func (s *storage) check(tokenID string) error {
	s.guard.Lock()
	defer s.guard.Unlock()
	switch token := s.issued[tokenID]; {
	case token == nil:
		return errors.New("unknown token")
	case token.revoked:
		return errors.New("revoked token")
	case time.Now().After(token.until):
		return errors.New("token past its expires_in")
	}
	return nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != clientID || secret != s.currentSecret() {
		return errors.New("wrong client or secret")
	}
	return nil
}

func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return shop{}, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != clientID {
		return nil, errors.New("no such client")
	}
	return shop{}, nil
}

func (s *storage) ClientCredentialsTokenRequest(ctx context.Context, id string, scopes []string) (op.TokenRequest, error) {
	audience, _ := ctx.Value(audienceKey{}).([]string)
	if len(audience) == 0 {
		return nil, oidc.ErrInvalidRequest().WithDescription("audience missing") // as eTrusted
	}
	return grantedRequest{id, audience, scopes}, nil
}

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	s.guard.Lock()
	defer s.guard.Unlock()
	id, until := rand.Text(), time.Now().Add(s.lifetime)
	s.issued[id] = &issuedToken{until: until}
	// The OP rounds what is left at the end of its work down, for expires_in: the next second makes it the lifetime.
	return id, until.Truncate(time.Second).Add(time.Second), nil
}

func (s *storage) RevokeToken(_ context.Context, tokenID, _, _ string) *oidc.Error {
	s.guard.Lock()
	defer s.guard.Unlock()
	if token := s.issued[tokenID]; token != nil {
		token.revoked = true
		return nil
	}
	return oidc.ErrInvalidRequest().WithDescription("no such token")
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return signingKey{s.key}, nil }

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{s.key}}, nil }

type signingKey struct{ key *rsa.PrivateKey }

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return "key-1" }

type publicKey struct{ key *rsa.PrivateKey }

func (k publicKey) ID() string                         { return "key-1" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.key.Public() }

// shop is the one client. The embedded interface is nil: see storage.
type shop struct{ op.Client }

func (shop) GetID() string                       { return clientID }
func (shop) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodPost }
func (shop) GrantTypes() []oidc.GrantType        { return []oidc.GrantType{oidc.GrantTypeClientCredentials} }
func (shop) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (shop) ClockSkew() time.Duration            { return 0 }
func (shop) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

type grantedRequest struct {
	subject          string
	audience, scopes []string
}

func (g grantedRequest) GetSubject() string    { return g.subject }
func (g grantedRequest) GetAudience() []string { return g.audience }
func (g grantedRequest) GetScopes() []string   { return g.scopes }

// signature is the part of a JWT that makes it worth stealing.
func signature(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }
