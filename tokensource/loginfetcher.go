package tokensource

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// requestTimeout limits a token request. It is long, because a login server that always takes 12 s must yield tokens. With
	// the pause of a second after it, it is a multiple of hedgeAfter: while a token is needed, there is a new request every
	// 5 s, also from one attempt to the next.
	requestTimeout = 29 * time.Second

	// hedgeAfter is how long a token request runs before a second one looks whether new connections are answered, and how
	// long that one runs before another replaces it.
	hedgeAfter = 5 * time.Second
)

// loginFetcher is a fetcher that sends token requests.
type loginFetcher struct {
	source   *Source
	set      CredentialSet
	endpoint TokenEndpoint // of the set's environment
}

func (loginFetcher) stored(context.Context, *token) (fetchResult, bool) { return fetchResult{}, false }

func (loginFetcher) endPause() {}

func (loginFetcher) close() {}

// fetch gets a token from the login server.
func (f loginFetcher) fetch(ctx context.Context, _ *token) (fetchResult, bool) {
	started := time.Now()
	f.source.fetching.Store(&started)
	defer f.source.fetching.Store(nil)
	f.source.peerFetches.Store(false)
	got := f.request(ctx)
	if ctx.Err() != nil {
		return fetchResult{}, false
	}
	result := fetchResult{failure: got.failure, ended: time.Now()}
	result.duration = result.ended.Sub(started)
	switch fresh := got.token; {
	case fresh != nil:
		current := f.source.state.Load()
		isKnown := fresh.capAtKnownExpiry(current.token, current.previous)
		fresh.refreshAt = refreshDue(fresh.issued, fresh.lifetime, random())
		if fresh.valid(result.ended) {
			result.token = fresh
			break
		}
		result.failure = &RefreshError{Outcome: OutcomeUnavailable, Reason: "the token had already expired when it arrived", Advice: outageAdvice, sentAgain: isKnown}
	case isRejection(got.failure):
		got.failure.Advice = f.source.config.Credentials.advise(f.set.Credentials, got.failure.Advice)
	}
	if result.failure != nil {
		result.failure.Advice = f.source.config.Credentials.ReplaceVariableNames(f.set.Environment, result.failure.Advice)
	}
	return result, true
}

// reply is the result of one token request.
type reply struct {
	token   *token // nil: none
	failure *RefreshError
}

// decides reports whether a second request ends the attempt. A rejection does: otherwise a wrong new pair could keep the pair in use
// from a login server that answers again.
func (r reply) decides() bool { return r.failure == nil || isRejection(r.failure) }

// request asks the login server for a token. A login server that has accepted a request may never answer it, although it
// answers new ones; so while a token is needed soon, a second request runs beside the first one. The first token or rejection
// counts. Without one, the first request decides.
func (f loginFetcher) request(ctx context.Context) reply {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	start := func() (replies chan reply, stop func()) {
		ctx, stop := context.WithCancel(ctx)
		replies = make(chan reply, 1)
		running.Go(func() {
			fresh, failure := f.endpoint.requestToken(ctx, f.set.Credentials)
			replies <- reply{fresh, failure}
		})
		return replies, stop
	}
	first, _ := start()
	var (
		second     chan reply // nil if it was not started
		stopSecond func()
	)
	ticker := time.NewTicker(hedgeAfter)
	defer ticker.Stop()
	for {
		select {
		case got := <-first:
			return got
		case got := <-second:
			if got.decides() {
				return got
			}
			second = nil
		case now := <-ticker.C:
			if current := f.source.state.Load().token; current.fullyValid(now) && current.remaining(now) >= 30*time.Second || f.source.peerFetches.Load() {
				continue
			}
			if second != nil {
				stopSecond()
				if got := <-second; got.decides() {
					return got
				}
			}
			// Only a new connection can lead to another server, or past a device that has forgotten the old one.
			(&http.Client{Transport: f.endpoint.Transport}).CloseIdleConnections()
			second, stopSecond = start()
		}
	}
}
