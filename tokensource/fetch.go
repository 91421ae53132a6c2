package tokensource

import (
	"context"
	"sync"
	"time"
)

// fetcher obtains tokens with one set of credentials.
type fetcher interface {
	// fetch makes an attempt to replace the known token. It reports false if ctx is done before the attempt ends; that counts
	// as no failure.
	fetch(ctx context.Context, known *token) (fetchResult, bool)
	// stored returns a token that replaces the known one, if another broker has stored one. It sends no token request.
	stored(ctx context.Context, known *token) (fetchResult, bool)
	// endPause lets the next fetch send a token request, although the last one has failed.
	endPause()
	close()
}

// fetchResult is the result of one attempt to get a token. If it has neither a token nor a failure, it is pending: another
// broker is fetching the token, or this one waits for its time to.
type fetchResult struct {
	token    *token
	failure  *RefreshError
	duration time.Duration
	ended    time.Time
	// fromPeer means that another broker made the token request, if there was one.
	fromPeer bool
	// next is when to try again; failures and rejections count those in a row of all brokers. All are zero if the token is not
	// shared.
	next                 time.Time
	failures, rejections int
}

func (a fetchResult) isPending() bool { return a.token == nil && a.failure == nil }

// setFetcher is a fetcher and its set. Its tokens are for the set's API, wherever they come from. The zero value has no set.
type setFetcher struct {
	fetcher
	set    CredentialSet
	opened time.Time
}

// expiredToken returns a token that expired when the set was first read: what is known of a set that has not yielded a token.
func (f setFetcher) expiredToken() *token { return &token{issued: f.opened} }

// fetch implements fetcher.
func (f setFetcher) fetch(ctx context.Context, known *token) (fetchResult, bool) {
	return f.forAPI(f.fetcher.fetch(ctx, known))
}

// stored implements fetcher.
func (f setFetcher) stored(ctx context.Context, known *token) (fetchResult, bool) {
	return f.forAPI(f.fetcher.stored(ctx, known))
}

func (f setFetcher) forAPI(result fetchResult, ok bool) (fetchResult, bool) {
	if result.token != nil {
		result.token.api = f.set.Environment.API
	}
	return result, ok
}

// close implements fetcher.
func (f setFetcher) close() {
	if f.fetcher != nil {
		f.fetcher.close()
	}
}

// newFetcher returns a fetcher for a set, which shares its tokens if there is a store.
func (s *Source) newFetcher(set CredentialSet) setFetcher {
	endpoint := set.Environment.Endpoint(s.config.Endpoint)
	login := loginFetcher{s, set, endpoint}
	if s.config.Store == nil {
		return setFetcher{login, set, time.Now()}
	}
	entry := s.config.Store.Entry(set.Credentials, endpoint, func() { signal(s.notified) })
	return setFetcher{&sharedFetcher{source: s, login: login, entry: entry, random: random()}, set, time.Now()}
}

// fetchWithSemaphore makes an attempt once FetchSemaphore allows it.
func (s *Source) fetchWithSemaphore(ctx context.Context, from fetcher, known *token) (fetchResult, bool) {
	if s.config.FetchSemaphore != nil {
		select {
		case s.config.FetchSemaphore <- struct{}{}:
			release := sync.OnceFunc(func() { <-s.config.FetchSemaphore })
			defer release()
			// While the login server hangs, attempts of other accounts must begin all the time, to find out when it has recovered.
			defer time.AfterFunc(2*time.Second, release).Stop()
		case <-ctx.Done():
			return fetchResult{}, false
		}
	}
	return from.fetch(ctx, known)
}
