package tokensource

import (
	"cmp"
	"context"
	"time"
)

// endPause lets the next fetch send a token request after a failure. An attempt of another broker still counts.
func (f *fetcher) endPause() {
	if f.seen.Failure != nil {
		f.seen.Remaining = 0
	}
}

// resetBackoff clears failures and fallback after a new token, and draws new jitter.
func (f *fetcher) resetBackoff() {
	f.unresolved, f.seen.Failures, f.seen.Rejections, f.fallbackAt, f.random = 0, 0, 0, time.Time{}, randomFraction()
}

// stored returns a token that replaces the known one, if another broker has stored one. It sends no token request.
func (f *fetcher) stored(ctx context.Context, known *token) (fetchResult, bool) {
	f.storing.Wait()
	shared, err := f.entry.Get(ctx)
	f.countStoreError(err)
	return f.adopt(shared.Token, known)
}

func (f *fetcher) countStoreError(err error) (failed bool) {
	if err != nil {
		f.source.storeErrors.Add(1)
	}
	return err != nil
}

// fetchShared takes a token from the store, or fetches one for all brokers, or waits for the broker that does; or, if the store does
// not work, fetches one for this broker. The broker that acquires the lease is the leader: it fetches the token for all and stores it.
// The others follow. After a failed attempt the lease is also the backoff: it expires at the end of the leader's pause, and until then
// no broker sends a token request.
func (f *fetcher) fetchShared(ctx context.Context, known *token) (fetchResult, bool) {
	f.storing.Wait()
	began := time.Now()
	brief, cancel := context.WithTimeout(ctx, maxStoreWait(known, began, f.random))
	defer cancel()
	shared, err := f.entry.Get(brief)
	switch {
	case ctx.Err() != nil:
		return fetchResult{}, false
	case f.countStoreError(err):
		return f.fallBack(ctx, known, began, 0)
	}
	if result, ok := f.adopt(shared.Token, known); ok {
		return result, true
	}
	now := time.Now()
	if result, ok := f.followLeader(shared.Lease, known, now); ok {
		return result, true
	}
	// The lease is so short that another broker can take over before the known token expires.
	duration := capAtQuarterOfRemainingIfValid(maxLeaseDuration, known, now)
	lease := Lease{FencingToken: shared.FencingToken, Failures: f.seen.Failures, Rejections: f.seen.Rejections, Remaining: duration}
	acquired, err := f.entry.Acquire(brief, lease)
	// After an error this broker may have the lease. Others may wait for it then, so without a fully valid token it fetches anyway.
	if f.countStoreError(err) && known.fullyValid(now) || err == nil && !acquired {
		return f.fallBack(ctx, known, began, minFallbackWaitAfterLostLease)
	}
	f.seen, f.seenAt = lease, now
	return f.fetchAsLeader(ctx, known)
}

// adopt takes a token that another broker has fetched, if it may take the known one's place.
func (f *fetcher) adopt(shared SharedToken, known *token) (fetchResult, bool) {
	now := time.Now()
	fresh := shared.token(now)
	if current := f.source.state.Load(); fresh != nil {
		fresh.capAtKnownExpiry(current.token, current.previous)
	}
	if !known.isSupersededBy(fresh, now) {
		return fetchResult{}, false
	}
	f.resetBackoff()
	f.source.storeHits.Add(1)
	fresh.refreshAt = refreshDue(fresh.issued, fresh.lifetime, followerRefreshSpread, f.random)
	return fetchResult{ended: now, fromPeer: true, token: fresh}, true
}

// followLeader returns how to wait for the broker that has the lease, if there is one. It believes only leases that it has not
// waited for before, and only for a quarter of what is left of the known token: how long a lease lasts is what the store says.
func (f *fetcher) followLeader(lease Lease, known *token, now time.Time) (fetchResult, bool) {
	const maxUnresolved = 4 // brokers that died can explain a few; a store that drops what is put into it explains many
	if lease.FencingToken > f.seen.FencingToken || lease.FencingToken == f.seen.FencingToken && lease.Failure != nil && f.seen.Failure == nil {
		f.unresolved++
		if lease.Failure != nil || lease.Failures > f.seen.Failures {
			f.unresolved = 0
		}
		lease.Failures = max(lease.Failures, f.seen.Failures)
		f.seen, f.seenAt = lease, now
		if f.unresolved <= maxUnresolved {
			f.fallbackAt = time.Time{}
		}
	}
	until := f.seenAt.Add(maxPeerLeaseWait(f.seen, known, f.seenAt))
	result := fetchResult{
		ended: now, fromPeer: true, next: until.Add(jitter(headStartOverFailedLeader)),
		failure: f.seen.Failure, failures: f.seen.Failures, rejections: f.seen.Rejections,
	}
	if f.seen.Failure == nil { // the token may come at any time, and the notification may be lost
		result.next = earlier(until.Add(jitter(maxJitterBetweenBrokers)), now.Add(storePollPause()))
	}
	return result, lease.FencingToken == f.seen.FencingToken && now.Before(until) && f.unresolved <= maxUnresolved
}

// fetchAsLeader fetches while it holds the lease. An attempt that outlasts the lease is reported as failed, so that another
// broker may try, but continues. Once another broker holds the lease, this one starts no hedged request, and a token or a
// rejection of the other one ends the attempt.
func (f *fetcher) fetchAsLeader(ctx context.Context, known *token) (result fetchResult, ok bool) {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result, ok = f.fetchFromLogin(own)
	}()
	release := context.WithoutCancel(ctx) // a rolling update stops one broker after the other
	handOver := time.After(f.seen.Remaining * 9 / 10)
	var peers <-chan time.Time // after that: when to look for the result of another broker
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-handOver:
			f.releaseFailed(release, known, fetchResult{ended: time.Now(), failure: transferError(context.DeadlineExceeded)})
			peers = time.After(minRefreshInterval)
		case <-peers:
			shared, err := f.entry.Get(ctx)
			f.countStoreError(err)
			f.peerFetches.Store(shared.Lease.FencingToken > f.seen.FencingToken)
			if now := time.Now(); f.peerFetches.Load() && isRejection(shared.Lease.Failure) || known.isSupersededBy(shared.Token.token(now), now) {
				cancel()
			}
			peers = time.After(minRefreshInterval) // a slow store must not make a tick wait, which could come before the end
		}
	}
	switch {
	case !ok && ctx.Err() == nil:
		return f.fetchShared(ctx, known)
	case !ok:
		f.countStoreError(f.entry.Release(release, Lease{}))
	case result.failure != nil:
		result.next = f.releaseFailed(release, known, result)
		result.failures, result.rejections = f.seen.Failures, f.seen.Rejections
	default:
		f.resetBackoff()
		result.token.fence, result.token.leads = f.seen.FencingToken, true
		result.token.refreshAt = refreshDue(result.token.issued, result.token.lifetime, leaderRefreshSpread, randomFraction())
		stored := result.token.shared()
		f.storing.Go(func() { f.countStoreError(f.entry.Put(release, stored)) })
	}
	return result, ok
}

// releaseFailed releases the lease with the failure, and returns when this broker retries. Others may try headStartOverFailedLeader
// earlier.
func (f *fetcher) releaseFailed(ctx context.Context, known *token, result fetchResult) (retryAt time.Time) {
	f.seen.Failure, f.seen.Failures, f.seen.Rejections = result.failure, f.seen.Failures+1, f.seen.Rejections+1
	if !isRejection(result.failure) {
		f.seen.Rejections = 0
	}
	pause := failedLeaderPause(f.seen, known, result.ended, randomFraction())
	f.seen.Remaining, f.seenAt, f.unresolved = max(0, pause-headStartOverFailedLeader), result.ended, 0
	f.countStoreError(f.entry.Release(ctx, f.seen))
	return result.ended.Add(pause)
}

// fallBack fetches without the lease, because the store is of no use. All brokers find that out at about the same time, so each
// waits for a random time from began on. It is at least minWait, unless the token ends before.
func (f *fetcher) fallBack(ctx context.Context, known *token, began time.Time, minWait time.Duration) (fetchResult, bool) {
	at := fetchTimeWithoutLease(known, began, minWait, f.random)
	f.fallbackAt = earlier(at, cmp.Or(f.fallbackAt, at))
	if now := time.Now(); now.Before(f.fallbackAt) {
		next := f.fallbackAt
		if minWait > 0 {
			next = earlier(next, now.Add(storePollPause()))
		}
		return fetchResult{ended: now, fromPeer: true, next: next}, true
	}
	result, ok := f.fetchFromLogin(ctx)
	if ok && result.failure == nil {
		f.resetBackoff()
	}
	return result, ok
}
