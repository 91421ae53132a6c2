// Package tokensource turns credentials into an access token that is always fresh: the client credentials grant of
// RFC 6749 section 4.4, ahead of need and in the background.
//
// A Source has one fetcher, its Run loop. Nobody else ever asks the login server for anything, and Run does so on its
// own context: a request that goes away cannot cancel a refresh that others wait for. Whoever reads the token takes
// it with one atomic load, from a state that is replaced as a whole and never changed.
package tokensource

import (
	"context"
	"sync/atomic"
	"time"
)

// DefaultAccount is the name of the account that has no name of its own, in metrics and messages.
const DefaultAccount = "default"

// Config tells what a Source needs.
type Config struct {
	// Account names the source in snapshots and events; empty is DefaultAccount.
	Account string
	// Origin is where the credentials are read from: at the start, when Recheck is called, and when the login server
	// rejects those in use.
	Credentials CredentialSource
	// Endpoint is where the source asks.
	Endpoint TokenEndpoint
	// Store, if not nil, is where the token is shared with other brokers that hold the same credentials.
	Store Store
	// Slots, if not nil, is shared by sources that are not to make more token requests at once than it has places.
	FetchSemaphore chan struct{}
	// Observe, if not nil, is told of each token request that has ended, elsewhere too, and ObserveReload of each change of the
	// credentials. They are called by the Run loop, so they must return soon.
	OnRefresh func(RefreshEvent)
	OnReload  func(CredentialReload)
}

// Source keeps one account's token fresh. All methods may be called at any time from any goroutine, except Run, which
// is called once.
type Source struct {
	config        Config
	state         atomic.Pointer[state]
	waits         atomic.Uint64
	invalidations atomic.Uint64
	fetching      atomic.Pointer[time.Time] // since when a token request is under way; nil: none is
	storeHits     atomic.Uint64
	storeErrors   atomic.Uint64
	// wake tells the loop to look at the token, which somebody found dead; changed that the credentials may have
	// changed; and told that there may be a token in the store. One place is enough, since all who say so mean the same.
	wake, changed, told chan struct{}
}

// New returns a source that has no token until Run is called.
func New(config Config) *Source {
	if config.Account == "" {
		config.Account = DefaultAccount
	}
	if config.Endpoint.Timeout == 0 {
		config.Endpoint.Timeout = 10 * time.Second
	}
	if config.OnRefresh == nil {
		config.OnRefresh = func(RefreshEvent) {}
	}
	if config.OnReload == nil {
		config.OnReload = func(CredentialReload) {}
	}
	s := &Source{config: config, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), told: make(chan struct{}, 1)}
	s.state.Store(&state{replaced: make(chan struct{})})
	return s
}

// Origin is where the credentials are read from.
func (s *Source) CredentialSource() CredentialSource { return s.config.Credentials }

// Run fetches the token and keeps it fresh until ctx is done. After that the last token can still be taken while it
// lives, and nobody waits for another. Failures do not end it: they are told to Observe and in Snapshot.
func (s *Source) Run(ctx context.Context) {
	defer s.publish(func(next *state) { next.stopped = true })
	l := &loop{Source: s, readAt: time.Now()}
	defer func() {
		l.share.close()
		l.candidate.close()
	}()
	for l.sleep(ctx) {
		_, do := l.next()
		do(ctx)
	}
}

// Current returns the value for the Authorization header, and true; or false where there is no token that may be
// sent. It never blocks and does not allocate.
func (s *Source) Current() (authorization string, ok bool) {
	if token := s.state.Load().token; token.valid(time.Now()) {
		return token.authorization, true
	}
	return "", false
}

// Await returns what Current does, once there is something to return. It returns a *NoTokenError at once where waiting
// is no use (the credentials are rejected, or Run has ended), and when ctx is done.
func (s *Source) Wait(ctx context.Context) (authorization string, err error) {
	for waited := false; ; waited = true {
		now := s.state.Load()
		switch {
		case now.token.valid(time.Now()):
			return now.token.authorization, nil
		case now.stopped, now.failure != nil && now.failure.Outcome == OutcomeRejected:
			return "", now.noToken()
		case !waited:
			s.waits.Add(1)
		}
		tell(s.wake)
		select {
		case <-now.replaced:
		case <-ctx.Done():
			if value, ok := s.Current(); ok { // both at once: the choice between ready cases is random
				return value, nil
			}
			return "", s.state.Load().noToken()
		}
	}
}

// AwaitOther returns the value of a token other than the one that was refused, once there is one. It reports false as
// soon as the attempt to fetch one fails, and when ctx is done. It is called after Invalidate has returned true.
func (s *Source) WaitNewer(ctx context.Context, old string) (authorization string, ok bool) {
	for {
		now := s.state.Load()
		switch {
		case now.token.valid(time.Now()) && now.token.authorization != old:
			return now.token.authorization, true
		case now.stopped, now.failure != nil:
			return "", false
		}
		select {
		case <-now.replaced:
		case <-ctx.Done():
			value, ok := s.Current()
			return value, ok && value != old
		}
	}
}

// Invalidate has the token replaced of which authorization is the header's value, since the API refused it with 401
// before its time. It reports whether another is to be had, now or soon, by AwaitOther.
//
// Until the other is there, Current goes on returning the one that was refused: an app that asks for something to which
// it has no right must not make its other requests wait, and while the login server is away, a token that the API may
// still take elsewhere is better than none. A token just fetched is not replaced, since it would not get better by
// fetching one more: a storm on the login server is what would come of it.
func (s *Source) Invalidate(authorization string) bool {
	now := s.state.Load()
	switch token := now.token; {
	case token == nil:
		return false
	case token.authorization != authorization:
		return true // it has been replaced since it was sent
	case now.failure != nil, now.stopped, time.Since(token.received) < minTokenAge:
		return false
	case token.refused.CompareAndSwap(false, true):
		s.invalidations.Add(1)
		tell(s.wake)
	}
	return true
}

// Recheck has the loop read the credentials again, since they may have changed. It does not wait for that.
func (s *Source) ReloadCredentials() { tell(s.changed) }

// tell puts something into a channel of one place, or finds that it has been told already.
func tell(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
