// Package tokensource keeps OAuth 2.0 access tokens fresh. It fetches them in the background, ahead of need, with the
// client credentials grant (RFC 6749 section 4.4).
//
// A Source has one fetcher, its Run loop. Nothing else sends token requests, and Run uses its own context: a request that is
// cancelled cannot cancel a refresh that others wait for. Readers take the token with one atomic load, from an immutable state.
//
// Despite the package's name, a Source is not an oauth2.TokenSource: Current returns the value of an Authorization
// header, and never waits.
package tokensource

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"time"
)

// DefaultAccount is the name of the unnamed account in metrics and messages.
const DefaultAccount = "default"

// Config configures a Source.
type Config struct {
	Account string // the source's name in snapshots and events; the default is DefaultAccount
	// Credentials are read at the start, when ReloadCredentials is called, and when the login server rejects those in use.
	Credentials CredentialSource
	// Endpoint issues the tokens, unless the credentials have an environment of their own. Its URL and Transport are required.
	Endpoint TokenEndpoint
	Store    Store // shares the token with other brokers that have the same credentials; may be nil
	// FetchSemaphore, if not nil, limits concurrent token requests of all sources that share it. Each counts for two seconds at most.
	FetchSemaphore chan struct{}
	// OnRefresh, if not nil, is called after each token request, of this or another broker, and OnReload after each
	// change of the credentials. Run calls them on its goroutine, so they must return quickly.
	OnRefresh func(RefreshEvent)
	OnReload  func(CredentialReload)
	// OnEnvironment, if not nil, is called with the environments of the set in use and of a changed set that has not yielded a
	// token yet, which is the zero value without one. Run calls it before it sends a request to the login server of either.
	OnEnvironment func(account string, inUse, tried APIEnvironment)

	created time.Time // files that were written later may be half written; zero: now
}

// Source keeps one account's token fresh while Run runs. All methods are safe for concurrent use, except Run, which must
// be called at most once.
type Source struct {
	config         Config
	stop           func() // of Accounts.Run: ends Run and waits for it; nil until it runs
	state          atomic.Pointer[publishedState]
	requestsWaited atomic.Uint64
	waiting        atomic.Int64 // requests that wait for a token
	unserved       atomic.Bool  // a request has failed for lack of a token since the last failed attempt
	invalidations  atomic.Uint64
	fetching       atomic.Pointer[time.Time] // when the token request in flight was sent; nil: none in flight
	storeHits      atomic.Uint64
	storeErrors    atomic.Uint64
	// wake signals the loop that the token has ended early or that a request waits, credentialsChanged that the credentials may have
	// changed, and notified that the store may have a new token. Each has a buffer of one, because signals are coalesced.
	wake, credentialsChanged, notified chan struct{}
}

func (c *Config) validate() error {
	switch {
	case c.Endpoint.URL == "":
		return errors.New("tokensource: the token endpoint has no URL")
	case c.Endpoint.Transport == nil:
		return errors.New("tokensource: the token endpoint has no transport")
	}
	return nil
}

// New returns a source that has no token until Run is called.
func New(config Config) (*Source, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	return newSource(config), nil
}

// newSource is New for a config that has been validated.
func newSource(config Config) *Source {
	config.Account = cmp.Or(config.Account, DefaultAccount)
	config.Endpoint.Timeout = cmp.Or(config.Endpoint.Timeout, DefaultTokenRequestTimeout)
	config.created = cmp.Or(config.created, time.Now())
	if config.OnRefresh == nil {
		config.OnRefresh = func(RefreshEvent) {}
	}
	if config.OnReload == nil {
		config.OnReload = func(CredentialReload) {}
	}
	if config.OnEnvironment == nil {
		config.OnEnvironment = func(string, APIEnvironment, APIEnvironment) {}
	}
	s := &Source{
		config:             config,
		wake:               make(chan struct{}, 1),
		credentialsChanged: make(chan struct{}, 1),
		notified:           make(chan struct{}, 1),
	}
	s.state.Store(&publishedState{Snapshot: Snapshot{Account: config.Account, Shared: config.Store != nil}, replaced: make(chan struct{})})
	return s
}

// CredentialSource returns where the credentials are read from.
func (s *Source) CredentialSource() CredentialSource { return s.config.Credentials }

// Current returns the value of the Authorization header, the base URL of the only API that it may be sent to (nil: the broker's),
// and true; or false if there is no valid token. It never blocks and does not allocate.
func (s *Source) Current() (authorization string, api *url.URL, ok bool) {
	if usable := s.state.Load().usable(time.Now()); usable != nil {
		return usable.authorization, usable.api, true
	}
	return "", nil, false
}

// Wait returns what Current returns, as soon as there is a valid token. Its error is a *problem.Problem: see ErrNoToken. It fails
// at once if waiting is useless (the credentials are rejected, or Run has ended), and when ctx is done; then it wraps ctx.Err().
func (s *Source) Wait(ctx context.Context) (authorization string, api *url.URL, err error) {
	for waited := false; ; waited = true {
		current := s.state.Load()
		if usable := current.usable(time.Now()); usable != nil {
			return usable.authorization, usable.api, nil
		}
		switch {
		case current.stopped, current.rejected, waited && ctx.Err() != nil:
			s.unserved.Store(true)
			return "", nil, current.noTokenError(ctx)
		case !waited:
			s.requestsWaited.Add(1)
			s.waiting.Add(1)
			defer s.waiting.Add(-1)
			signal(s.wake)
		}
		select {
		case <-current.replaced:
		case <-ctx.Done():
		}
	}
}

// WaitNewer returns the value of a token other than old, which the API refused, as soon as there is one, with the API that it is
// for: another one, if the account has been moved since. Its error has the same form as Wait's. It fails as soon as an attempt to fetch
// a token fails or returns old again, and when ctx is done. Call it after Invalidate has returned true. Once the API has accepted
// the value, call MarkAccepted; if it refuses it, Invalidate.
func (s *Source) WaitNewer(ctx context.Context, old string) (authorization string, api *url.URL, err error) {
	for {
		current, now := s.state.Load(), time.Now()
		switch {
		case current.token.valid(now) && !current.token.has(old):
			return current.token.authorization, current.token.api, nil
		case current.token.has(old) && current.token.isJustReceived(now) && current.previousUsable(now):
			return current.previous.authorization, current.previous.api, nil
		case current.stopped, current.LastFailure != nil, current.token.has(old) && !current.token.isRefused(), ctx.Err() != nil:
			return "", nil, current.noTokenError(ctx)
		}
		select {
		case <-current.replaced:
		case <-ctx.Done():
		}
	}
}

// Invalidate marks the token with this header value for replacement, because the API refused it with 401 before its
// expiry. It reports whether WaitNewer can return another, now or soon.
//
// Until the new token arrives, Current keeps returning the refused one: an app that requests something it has no permission for
// must not block its other requests, and in an outage, a token that the API may still accept elsewhere is better than none. A
// token that was just fetched is not replaced: another would be no better, and every 401 would cost a token request. The previous
// token may still work, because an API with several servers learns of a token, or of its signing key, later than the broker.
func (s *Source) Invalidate(authorization string) bool {
	current, now := s.state.Load(), time.Now()
	last := current.token
	previousInUse := current.previous != nil && current.usable(now) == current.previous
	switch {
	case last == nil:
		return false
	case !last.has(authorization): // it has been replaced since it was sent
		if current.previous.has(authorization) && !previousInUse { // or else MarkAccepted decides
			current.previous.refuse(now)
		}
		return true
	case last.isJustReceived(now) && current.previousUsable(now):
		return true
	case current.stopped, last.isJustReceived(now), previousInUse:
		return false
	}
	if last.refuse(now) {
		s.invalidations.Add(1)
	}
	s.unserved.Store(true)
	signal(s.wake)
	return current.LastFailure == nil
}

// MarkAccepted records that the API has accepted the token with this header value, which WaitNewer returned. If it is the
// previous one, all requests use it until the newer one is ten seconds old; if it is the newer one, all use that.
func (s *Source) MarkAccepted(authorization string) {
	current := s.state.Load()
	switch last := current.token; {
	case last.has(authorization):
		last.notAcceptedFor.Store(0)
	case current.previous.has(authorization) && last.isJustReceived(time.Now()):
		last.notAcceptedFor.Store(int64(minAgeToReplaceRefusedToken))
	}
}

// ReloadCredentials makes the loop read the credentials again, because they may have changed. It does not wait.
func (s *Source) ReloadCredentials() { signal(s.credentialsChanged) }

// signal puts a signal into a channel with a buffer of one. It does nothing if one is pending.
func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
