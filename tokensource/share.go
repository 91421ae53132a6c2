package tokensource

import (
	"context"
	"time"
)

// sharedFetcher is a fetcher that shares tokens with other brokers through a store. The broker that acquires the lease is the
// leader: it fetches the token for all and stores it. The others follow. After a failed attempt the lease is also the backoff: it
// expires after the leader's pause, and until then no broker sends a token request.
type sharedFetcher struct {
	source *Source // for its counters
	login  fetcher
	entry  Entry
	began  time.Time
	// seen is the newest lease, and seenUntil when it expires. A lease is waited for once: if it is still there afterwards, an
	// attacker has put it back. unresolved counts the leases in a row that ended with neither a token nor a failure.
	seen       Lease
	seenUntil  time.Time
	unresolved int
	failures   int // in a row, of all brokers, as far as this one has seen them
	// fallbackAt is when this broker fetches without the lease; zero if it need not. random spreads that time over the brokers,
	// and stays the same until there is a token.
	fallbackAt time.Time
	random     float64
}

func (f *sharedFetcher) close() { f.entry.Close() }

// succeeded forgets what led to the token that there is now.
func (f *sharedFetcher) succeeded() {
	f.unresolved, f.failures, f.fallbackAt, f.random = 0, 0, time.Time{}, random()
}

// stored implements fetcher.
func (f *sharedFetcher) stored(ctx context.Context, known *token) (attempt, bool) {
	shared, err := f.entry.Get(ctx)
	if f.failed(err) || !known.isSupersededBy(shared.Token) {
		return attempt{}, false
	}
	return f.adopt(shared.Token), true
}

// failed counts an error of the store.
func (f *sharedFetcher) failed(err error) bool {
	if err != nil {
		f.source.storeErrors.Add(1)
	}
	return err != nil
}

// fetch returns a token from the store, or fetches one for all brokers, or waits for the broker that does. Without a store it
// fetches for itself.
func (f *sharedFetcher) fetch(ctx context.Context, known *token) (attempt, bool) {
	shared, err := f.entry.Get(ctx)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return attempt{}, false
	case f.failed(err):
		return f.fallBack(ctx, known, 0)
	case known.isSupersededBy(shared.Token):
		return f.adopt(shared.Token), true
	case shared.Lease != nil && f.mustWait(*shared.Lease, known, now):
		return f.wait(now), true
	}
	ttl := leaveTime(maxLease, known, now) // if this broker dies, there is time for others
	if acquired, err := f.entry.Acquire(ctx, ttl); f.failed(err) || !acquired {
		return f.fallBack(ctx, known, raceWait)
	}
	f.seen, f.seenUntil = Lease{FencingToken: shared.FencingToken}, now.Add(ttl)
	return f.lead(ctx, known, ttl)
}

// adopt takes a token that another broker has fetched.
func (f *sharedFetcher) adopt(shared *SharedToken) attempt {
	f.succeeded()
	f.source.storeHits.Add(1)
	now := time.Now()
	issued := now.Add(shared.Remaining - shared.Lifetime)
	return attempt{ended: now, fromPeer: true, token: &token{
		authorization: "Bearer " + shared.AccessToken.Reveal(), issued: issued, received: issued, lifetime: shared.Lifetime,
		fence: shared.FencingToken, refreshAt: followerRefreshAt(issued, shared.Lifetime, f.random),
	}}
}

// mustWait reports whether another broker has the lease. It believes only leases that it has not waited for before, and none for
// longer than a quarter of what is left of the known token: how long a lease lasts is what the store says.
func (f *sharedFetcher) mustWait(lease Lease, known *token, now time.Time) bool {
	if lease.FencingToken > f.seen.FencingToken || lease.FencingToken == f.seen.FencingToken && lease.Failure != nil && f.seen.Failure == nil {
		f.seen, f.seenUntil = lease, now.Add(min(lease.Remaining, leaveTime(maxLease, known, now)))
		f.unresolved++
		if lease.Failure != nil {
			f.seenUntil = now.Add(min(lease.Remaining, leaveTime(maxBackoff, known, now)))
			f.unresolved, f.failures = 0, f.failures+1
		}
		if f.unresolved <= maxUnresolved {
			f.fallbackAt = time.Time{}
		}
	}
	return lease.FencingToken == f.seen.FencingToken && now.Before(f.seenUntil) && f.unresolved <= maxUnresolved
}

// wait leaves the attempt to the broker with the lease. If that has failed, all pause until its lease expires. Otherwise its token
// may come at any time, and the notification may be lost.
func (f *sharedFetcher) wait(now time.Time) attempt {
	next := f.seenUntil.Add(jitter(maxJitter))
	if f.seen.Failure != nil {
		return attempt{ended: now, fromPeer: true, next: next, failure: f.seen.Failure, failures: f.failures}
	}
	return attempt{ended: now, fromPeer: true, next: earlier(next, now.Add(pollPause()))}
}

// lead fetches with the lease. If the attempt outlasts it, it goes on, but counts as failed before, so that others may try.
func (f *sharedFetcher) lead(ctx context.Context, known *token, ttl time.Duration) (result attempt, ok bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result, ok = f.login.fetch(ctx, known)
	}()
	release := context.WithoutCancel(ctx) // a rolling update stops one broker after the other
	select {
	case <-ended:
	case <-time.After(ttl * 9 / 10):
		noAnswer := &RefreshError{Outcome: OutcomeUnavailable, Reason: "the login server did not answer in time", Advice: outageAdvice}
		f.pause(release, known, attempt{ended: time.Now(), failure: noAnswer})
		f.watchPeers(ctx, ended)
	}
	switch {
	case !ok:
		f.failed(f.entry.Release(release, Lease{}))
	case result.failure != nil:
		f.pause(release, known, result)
		result.failures, result.next = f.failures, f.seenUntil.Add(maxJitter+jitter(maxJitter)) // the others try first
	default:
		f.succeeded()
		result.token.fence, result.token.leads = f.seen.FencingToken, true
		result.token.refreshAt = leaderRefreshAt(result.token.issued, result.token.lifetime, random())
		f.failed(f.entry.Put(release, result.token.shared()))
	}
	return result, ok
}

// watchPeers returns once the attempt has ended. Meanwhile it looks whether another broker has the lease: that one then looks for
// a login server that has recovered, so second requests of this one would be too many.
func (f *sharedFetcher) watchPeers(ctx context.Context, ended <-chan struct{}) {
	defer f.source.peerFetches.Store(false)
	for {
		select {
		case <-ended:
			return
		case <-time.After(pollPause()):
			shared, err := f.entry.Get(ctx)
			f.source.peerFetches.Store(err == nil && shared.Lease != nil && shared.Lease.FencingToken > f.seen.FencingToken)
		}
	}
}

// pause lets the lease expire after the pause that a failure causes.
func (f *sharedFetcher) pause(ctx context.Context, known *token, result attempt) {
	f.failures++
	remaining := f.began.Sub(result.ended)
	if known != nil {
		remaining = known.remaining(result.ended)
	}
	pause := sharedPause(result.failure, f.failures, remaining, random())
	f.seen = Lease{FencingToken: f.seen.FencingToken, Failure: result.failure, Remaining: pause}
	f.seenUntil, f.unresolved = result.ended.Add(pause), 0
	f.failed(f.entry.Release(ctx, f.seen))
}

// fallBack fetches without the lease, because the store is of no use. The brokers that share it find that out at about the same
// time, so each waits for a random time first. It is at least wait, unless the token ends before.
func (f *sharedFetcher) fallBack(ctx context.Context, known *token, wait time.Duration) (attempt, bool) {
	now := time.Now()
	if at := fallbackTime(known, now, wait, f.random); f.fallbackAt.IsZero() || at.Before(f.fallbackAt) {
		f.fallbackAt = at
	}
	if now.Before(f.fallbackAt) {
		next := f.fallbackAt
		if wait > 0 {
			next = earlier(next, now.Add(pollPause()))
		}
		return attempt{ended: now, fromPeer: true, next: next}, true
	}
	result, ok := f.login.fetch(ctx, known)
	if ok && result.failure == nil {
		f.succeeded()
	}
	return result, ok
}
