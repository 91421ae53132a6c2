package tokensource

import (
	"context"
	"time"
)

// The times of a shared token.
const (
	// maxLease is how long a lease lasts, and so how long the other brokers wait for one that died while it was fetching. A
	// login server mostly answers within a second. An attempt that takes longer goes on without the lease.
	maxLease = 15 * time.Second

	// maxJitter is over how long brokers spread that would otherwise act at once.
	maxJitter = time.Second

	// raceWait is how long a broker that lost a race for the lease waits at least before it fetches without it: by then it
	// has seen the lease of the winner, unless the store is not to be trusted.
	raceWait = 2 * time.Second

	// maxUnresolved is how many leases in a row a broker waits for that end with neither a token nor a failure. Brokers
	// that died can explain a few, and a store that drops what is put into it explains many.
	maxUnresolved = 4

	// releaseTimeout is how long a broker that is stopped waits for the store to take its lease back, or its last token.
	releaseTimeout = time.Second
)

// sharedFetcher is a fetcher that shares tokens with other brokers through a store. The broker that acquires the lease is
// the leader: it fetches the token for all and stores it. The others are its followers. After a failed attempt the lease is
// also the backoff: the leader lets it expire after its pause, and until then no broker sends a token request.
type sharedFetcher struct {
	source *Source // for its counters
	login  fetcher
	entry  Entry

	// seen is the newest lease that was seen, and seenUntil when it expires. A lease is waited for once: if it is still
	// there afterwards, an attacker has put it back.
	seen       Lease
	seenUntil  time.Time
	unresolved int // leases in a row that ended with neither a token nor a failure
	// fallbackAt is when this broker fetches without the lease; zero if it need not. random spreads that time over the
	// brokers. It stays the same until there is a token, so that asking again does not bring that time nearer.
	fallbackAt time.Time
	random     float64
	failures   int // consecutive, of all brokers
}

func (f *sharedFetcher) close() { f.entry.Close() }

// succeeded forgets what led to the token that there is now.
func (f *sharedFetcher) succeeded() {
	f.unresolved, f.failures, f.fallbackAt, f.random = 0, 0, time.Time{}, random()
}

// stored returns a token that another broker has stored. It reports false if there is no better one than the known one.
func (f *sharedFetcher) stored(ctx context.Context, known *token) (attempt, bool) {
	shared, err := f.get(ctx, known)
	if err != nil || !known.isSupersededBy(shared.Token) {
		return attempt{}, false
	}
	return f.adopt(shared.Token), true
}

// fetch returns a token from the store, or fetches one for all brokers, or waits for the broker that does. Without a store
// it fetches for itself.
func (f *sharedFetcher) fetch(ctx context.Context, known *token) (attempt, bool) {
	shared, err := f.get(ctx, known)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return attempt{}, false
	case err != nil:
		return f.fallBack(ctx, known, 0)
	case known.isSupersededBy(shared.Token):
		return f.adopt(shared.Token), true
	case f.mustWait(shared.Lease, now):
		return f.wait(known, now), true
	}
	ttl := maxLease
	if known.usable(now) {
		ttl = min(ttl, known.remaining(now)/4) // if this broker dies, there is time for others
	}
	acquired, err := f.entry.Acquire(ctx, ttl)
	switch {
	case ctx.Err() != nil:
		return attempt{}, false // the lease expires
	case err != nil:
		f.source.storeErrors.Add(1)
		return f.fallBack(ctx, known, 0)
	case !acquired:
		return f.fallBack(ctx, known, raceWait)
	}
	f.seen, f.seenUntil = Lease{FencingToken: shared.FencingToken}, now.Add(ttl)
	return f.lead(ctx, known)
}

// get asks the store, for a quarter of the remaining lifetime at most, because what it does not have must still be fetched.
func (f *sharedFetcher) get(ctx context.Context, known *token) (Shared, error) {
	if now := time.Now(); known.usable(now) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, known.remaining(now)/4)
		defer cancel()
	}
	shared, err := f.entry.Get(ctx)
	if err != nil {
		f.source.storeErrors.Add(1)
	}
	return shared, err
}

// adopt takes a token that another broker has fetched.
func (f *sharedFetcher) adopt(shared *SharedToken) attempt {
	f.succeeded()
	f.source.storeHits.Add(1)
	now := time.Now()
	issued := now.Add(shared.Remaining - shared.Lifetime)
	return attempt{ended: now, fromPeer: true, token: &token{
		authorization: "Bearer " + shared.AccessToken.Reveal(),
		issued:        issued, received: issued, lifetime: shared.Lifetime,
		fence: shared.FencingToken, due: followerRefreshAt,
	}}
}

// mustWait reports whether another broker has the lease. It believes only leases that it has not waited for before.
func (f *sharedFetcher) mustWait(lease *Lease, now time.Time) bool {
	if lease == nil {
		return false
	}
	failed := lease.Failure != nil
	if lease.FencingToken > f.seen.FencingToken || lease.FencingToken == f.seen.FencingToken && failed && f.seen.Failure == nil {
		f.seen, f.seenUntil = *lease, now.Add(min(lease.Remaining, maxBackoff))
		f.unresolved++
		if failed {
			f.unresolved, f.failures = 0, lease.Failures
		}
		if f.unresolved <= maxUnresolved {
			f.fallbackAt = time.Time{}
		}
	}
	return lease.FencingToken == f.seen.FencingToken && now.Before(f.seenUntil) && f.unresolved <= maxUnresolved
}

// wait is the result of an attempt that is left to the broker with the lease. If it has failed, all pause until its lease
// expires. Otherwise its token may come at any time, and the notification may be lost.
func (f *sharedFetcher) wait(known *token, now time.Time) attempt {
	jitter := spread(known, now)
	result := attempt{ended: now, fromPeer: true, next: f.seenUntil.Add(time.Duration(random() * float64(jitter)))}
	if f.seen.Failure != nil {
		result.failure, result.failures = f.seen.Failure, f.failures
	} else {
		result.next = earlier(result.next, now.Add(jitter/2+time.Duration(random()*float64(jitter))))
	}
	return result
}

// lead fetches with the lease.
func (f *sharedFetcher) lead(ctx context.Context, known *token) (attempt, bool) {
	result, ok := f.login.fetch(ctx, known)
	// A broker that is stopped returns its lease, because a rolling update stops one after the other.
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	var err error
	switch {
	case !ok:
		_ = f.entry.Release(brief, Lease{}) // if it fails, the lease expires
		return result, false
	case result.failure != nil:
		f.failures++
		pause := sharedPause(result.failure, f.failures, known, result.ended, random())
		f.seen.Failure, f.unresolved = result.failure, 0
		f.seenUntil = result.ended.Add(pause)
		result.failures = f.failures
		result.next = f.seenUntil.Add(maxJitter + time.Duration(random()*float64(maxJitter))) // the others try first
		err = f.entry.Release(brief, Lease{FencingToken: f.seen.FencingToken, Failure: result.failure, Failures: f.failures, Remaining: pause})
	default:
		f.succeeded()
		result.token.fence, result.token.leads, result.token.due = f.seen.FencingToken, true, leaderRefreshAt
		err = f.entry.Put(brief, result.token.shared())
	}
	if err != nil {
		f.source.storeErrors.Add(1)
	}
	return result, true
}

// fallBack fetches without the lease, because the store is of no use. The brokers that share it find that out at about the
// same time, so each waits for a random time first. It is at least wait, unless the token ends before.
func (f *sharedFetcher) fallBack(ctx context.Context, known *token, wait time.Duration) (attempt, bool) {
	now := time.Now()
	if at := fallbackTime(known, now, wait, f.random); f.fallbackAt.IsZero() || at.Before(f.fallbackAt) {
		f.fallbackAt = at
	}
	if now.Before(f.fallbackAt) {
		next := f.fallbackAt
		if jitter := spread(known, now); wait > 0 {
			next = earlier(next, now.Add(jitter/2+time.Duration(random()*float64(jitter))))
		}
		return attempt{ended: now, fromPeer: true, next: next}, true
	}
	result, ok := f.login.fetch(ctx, known)
	if ok && result.failure == nil {
		f.succeeded()
	}
	return result, ok
}

// leaderRefreshAt returns when the leader fetches the next token: at 80 % of the lifetime, less up to 3 % jitter. It is
// mostly the only leader; but a store that loses its data makes many of them, which must drift apart. jitter is in [0, 1).
func leaderRefreshAt(issued time.Time, lifetime time.Duration, jitter float64) time.Time {
	return issued.Add(time.Duration((0.8 - 0.03*jitter) * float64(lifetime)))
}

// followerRefreshAt returns when a follower looks for the next token: a little after leaderRefreshAt, when it is mostly
// there. If it is not, because the leader is gone, the first follower that looks acquires the lease. jitter is in [0, 1).
func followerRefreshAt(issued time.Time, lifetime time.Duration, jitter float64) time.Time {
	return issued.Add(time.Duration((0.82 + 0.05*jitter) * float64(lifetime)))
}

// sharedPause returns how long all brokers pause after the failures-th failure in a row.
func sharedPause(failure *RefreshError, failures int, known *token, now time.Time, random float64) time.Duration {
	pause := retryDelay(failure, failures, random)
	if known.usable(now) {
		pause = min(pause, max(minBackoff, known.remaining(now)/8))
	}
	return min(pause, maxBackoff)
}

// fallbackTime returns when a broker fetches without the lease. If its token is usable, that is before 90 % of the lifetime:
// later would look like a failed refresh, for which there is an alert. random is in [0, 1).
func fallbackTime(known *token, now time.Time, wait time.Duration, random float64) time.Time {
	window := maxJitter
	if known.usable(now) {
		wait = min(wait, known.remaining(now)/4)
		latest := known.issued.Add(known.lifetime - max(time.Second, known.lifetime/10))
		window = max(0, latest.Sub(now)-wait)
	}
	return now.Add(wait + time.Duration(random*float64(window)))
}

// spread returns over how long brokers spread: less than maxJitter if the token ends soon.
func spread(known *token, now time.Time) time.Duration {
	if known.usable(now) {
		return min(maxJitter, known.remaining(now)/8)
	}
	return maxJitter
}

// usable reports whether there is no need to replace the token at once.
func (t *token) usable(now time.Time) bool {
	return t.valid(now) && !t.refused.Load()
}

// isSupersededBy reports whether a token from the store may take its place: a newer one that lives longer.
func (t *token) isSupersededBy(shared *SharedToken) bool {
	var fence uint64
	remaining := minRefresh // a token that ends at once would have the store asked in a loop without a pause
	if t != nil {
		fence = t.fence
		if now := time.Now(); t.usable(now) {
			remaining = max(remaining, t.remaining(now))
		}
	}
	return shared != nil && shared.isUsable() && shared.Remaining > remaining && shared.FencingToken > fence &&
		(t == nil || t.authorization != "Bearer "+shared.AccessToken.Reveal())
}

// shared is the token as the store gets it.
func (t *token) shared() SharedToken {
	return SharedToken{
		AccessToken:  NewSecret(t.authorization[len("Bearer "):]),
		FencingToken: t.fence,
		Issued:       t.issued.Round(0),
		Lifetime:     t.lifetime,
	}
}
