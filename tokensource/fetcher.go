package tokensource

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultTokenRequestTimeout is the default of TokenEndpoint.Timeout. It is long, because a login server that always takes
	// 12 s must yield tokens. With the pause of a second after it, it is a multiple of hedgeAfter: while a token is needed, there is a
	// new request every 5 s.
	DefaultTokenRequestTimeout = 29 * time.Second

	// hedgeAfter is how long a token request runs before a second one looks whether new connections are answered, and how
	// long that one runs before another replaces it.
	hedgeAfter = 5 * time.Second
)

// fetcher gets tokens with one set of credentials: from the login server or, if there is a store, from other brokers (share.go).
type fetcher struct {
	source   *Source // for its configuration, counters and tokens
	set      CredentialsAndEnvironment
	endpoint TokenEndpoint // of the set's environment
	created  time.Time

	entry   Entry          // of the store; nil without one. The other fields are for it
	storing sync.WaitGroup // of a token: the requests of this broker need not wait for the store
	// seen is the newest lease, and seenAt when it was first seen. A broker waits for each lease once: one that returns was put back
	// by an attacker. unresolved counts the leases in a row that ended with neither a token nor a failure.
	seen       Lease
	seenAt     time.Time
	unresolved int
	// fallbackAt is when this broker fetches without the lease, or zero. random spreads it over the brokers until there is a token.
	fallbackAt  time.Time
	random      float64
	peerFetches atomic.Bool // another broker has the lease, although this one has a token request in flight
}

// newFetcher returns a fetcher for a set, which shares its tokens if there is a store.
func (s *Source) newFetcher(set CredentialsAndEnvironment) *fetcher {
	f := &fetcher{source: s, set: set, endpoint: set.Environment.Endpoint(s.config.Endpoint), created: time.Now(), random: randomFraction()}
	if s.config.Store != nil {
		f.entry = s.config.Store.Entry(set.Credentials, f.endpoint, func() { signal(s.notified) })
	}
	return f
}

// close releases the store entry. f may be nil.
func (f *fetcher) close() {
	if f != nil && f.entry != nil {
		f.storing.Wait()
		f.entry.Close()
	}
}

// expiredToken returns a token that expired when the set was first read: what is known of a set that has not yielded a token.
func (f *fetcher) expiredToken() *token { return &token{issued: f.created} }

// fetchResult is the result of one attempt to get a token. If it has neither a token nor a failure, it is pending: another
// broker is fetching the token, or this one waits for its time to.
type fetchResult struct {
	token    *token
	failure  *RefreshError
	duration time.Duration
	ended    time.Time
	fromPeer bool // another broker made the token request, if there was one
	// next is when to try again; failures and rejections count those in a row of all brokers. All are zero if the attempt was made
	// without the lease.
	next                 time.Time
	failures, rejections int
}

func (r fetchResult) isPending() bool { return r.token == nil && r.failure == nil }

// fetch makes an attempt to replace the known token, once FetchSemaphore allows it. It reports false if ctx ends the attempt.
func (f *fetcher) fetch(ctx context.Context, known *token) (fetchResult, bool) {
	if semaphore := f.source.config.FetchSemaphore; semaphore != nil {
		select {
		case semaphore <- struct{}{}:
			release := sync.OnceFunc(func() { <-semaphore })
			defer release()
			// While the login server hangs, attempts of other accounts must begin all the time, to find out when it has recovered.
			defer time.AfterFunc(2*time.Second, release).Stop()
		case <-ctx.Done():
			return fetchResult{}, false
		}
	}
	if f.entry != nil {
		return f.fetchShared(ctx, known)
	}
	return f.fetchFromLogin(ctx)
}

// fetchFromLogin gets a token from the login server.
func (f *fetcher) fetchFromLogin(ctx context.Context) (fetchResult, bool) {
	started := time.Now()
	f.source.fetching.Store(&started)
	defer f.source.fetching.Store(nil)
	f.peerFetches.Store(false)
	result := f.requestHedged(ctx)
	if ctx.Err() != nil {
		return fetchResult{}, false
	}
	result.ended = time.Now()
	result.duration = result.ended.Sub(started)
	credentials := f.source.config.Credentials
	if fresh := result.token; fresh != nil {
		current := f.source.state.Load()
		isKnown := fresh.capAtKnownExpiry(current.token, current.previous)
		fresh.refreshAt = refreshDue(fresh.issued, fresh.lifetime, unsharedRefreshSpread, randomFraction())
		if !fresh.valid(result.ended) {
			result.token = nil
			result.failure = &RefreshError{Outcome: OutcomeUnavailable, Reason: "the token had already expired when it arrived", Advice: outageAdvice, sentAgain: isKnown}
		}
	} else if isRejection(result.failure) {
		result.failure.Advice = credentials.advise(f.set.Credentials, result.failure.Advice)
	}
	if result.failure != nil {
		result.failure.Advice = credentials.ReplaceVariableNames(f.set.Environment, result.failure.Advice)
	}
	return result, true
}

// requestHedged asks the login server for a token. A login server that has accepted a request may never answer it, although it
// answers new ones; so while a token is needed soon, a second request runs beside the first one. The first token or rejection
// counts. Without one, the first request decides.
func (f *fetcher) requestHedged(ctx context.Context) fetchResult {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	start := func() (replies chan fetchResult, stop func()) {
		ctx, stop := context.WithCancel(ctx)
		replies = make(chan fetchResult, 1)
		running.Go(func() {
			fresh, failure := f.endpoint.requestToken(ctx, f.set.Credentials)
			replies <- fetchResult{token: fresh, failure: failure}
		})
		return replies, stop
	}
	// A rejection ends the attempt too: otherwise a wrong new pair could keep the pair in use from a login server that answers again.
	decides := func(second fetchResult) bool { return second.failure == nil || isRejection(second.failure) }
	first, _ := start()
	var second chan fetchResult // nil if it was not started
	var stopSecond func()
	ticker := time.NewTicker(hedgeAfter)
	defer ticker.Stop()
	for {
		select {
		case got := <-first:
			return got
		case got := <-second:
			if decides(got) {
				return got
			}
			second = nil
		case now := <-ticker.C:
			if current := f.source.state.Load().token; current.fullyValid(now) && current.remaining(now) >= 30*time.Second || f.peerFetches.Load() {
				continue
			}
			if second != nil {
				stopSecond()
				if got := <-second; decides(got) {
					return got
				}
			}
			// Only a new connection can lead to another server, or past a device that has forgotten the old one.
			(&http.Client{Transport: f.endpoint.Transport}).CloseIdleConnections()
			second, stopSecond = start()
		}
	}
}
