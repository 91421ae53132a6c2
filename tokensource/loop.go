package tokensource

import (
	"context"
	"math/rand/v2"
	"time"
)

// loop is the one fetcher of a source, with what only it knows.
type loop struct {
	*Source
	share  share     // of the pair in use; zero until there is one
	readAt time.Time // when the origin is to be read again; zero: when somebody says so
	trial  trial
	report report
	// candidate is the share of the pair that is tried.
	candidate share
	// lookAt is when to look for a token in the store, since it told of one; zero: it did not. lookedAt is when that was
	// last done.
	lookAt, lookedAt time.Time
}

// sleep blocks until something is due, and reports false if ctx was done before.
func (l *loop) sleep(ctx context.Context) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		at, _ := l.next()
		due := time.Until(at)
		if due <= 0 {
			return true
		}
		timer := time.NewTimer(min(due, clockCheck))
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.changed:
			l.readAt = time.Now()
		case <-l.told:
			l.toldOf()
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// next is what is to be done next, and when: to read the credentials, to look into the store, or to refresh the token.
func (l *loop) next() (at time.Time, do func(context.Context)) {
	read := func(ctx context.Context) { l.read(ctx) }
	if l.share.pair.isZero() {
		return l.readAt, read // without credentials there is nothing to refresh
	}
	at, do = l.refreshDue(), l.refresh
	if !l.lookAt.IsZero() && l.lookAt.Before(at) {
		at, do = l.lookAt, l.look
	}
	if !l.readAt.IsZero() && l.readAt.Before(at) {
		at, do = l.readAt, read
	}
	return at, do
}

func (l *loop) refreshDue() time.Time {
	now := l.state.Load()
	if now.failure == nil && now.token != nil && !now.waiting && !now.token.serves(time.Now()) {
		// The token came to its end before its successor was due: it was revoked, or the machine was suspended, or
		// its clock was set. After a failure this does not count: the pause that it asked for stands, and so does
		// that for another broker which is at it.
		return time.Now()
	}
	return now.nextAttempt
}

// refresh makes one attempt and publishes what came of it. A failure changes nothing but the counters and the time of
// the next attempt: the token that there is stays until its own end.
func (l *loop) refresh(ctx context.Context) {
	got, ok := l.obtain(ctx, &l.share, l.state.Load().token)
	switch {
	case !ok:
		return
	case got.isWait():
		l.publish(func(next *state) {
			next.nextAttempt = got.next
			next.waiting = !next.token.serves(got.ended)
		})
		return
	}
	if got.failure != nil && got.failure.Outcome == OutcomeRejected && l.read(ctx) {
		// The credentials had been changed, and the new ones are good: nobody needs to hear of the rejection.
		if !got.elsewhere {
			l.publish(func(next *state) { next.refreshes[OutcomeRejected.index()]++ })
		}
		return
	}
	l.record(got, func(*state) {})
}

// attempt is one token request that has ended: with a token or a failure.
type attempt struct {
	token   *token
	failure *RefreshError
	took    time.Duration
	ended   time.Time
	// elsewhere means that another broker has made it, or is about to, if there is neither token nor failure. Of a
	// failure it comes with how often that happened in a row.
	elsewhere bool
	failures  int
	next      time.Time // when to ask again: at that moment if it was elsewhere, or else not before
}

// isWait reports whether nothing has come of it yet.
func (a attempt) isWait() bool { return a.token == nil && a.failure == nil }

// fetch makes one token request. It reports false if ctx was done before it ended: that is nobody's failure.
func (l *loop) fetch(ctx context.Context, pair Credentials) (attempt, bool) {
	started := time.Now()
	l.fetching.Store(&started)
	defer l.fetching.Store(nil)
	grant, failure := l.config.Endpoint.exchange(ctx, pair)
	ended := time.Now()
	fresh := &token{authorization: "Bearer " + grant.accessToken, issued: started, received: ended, lifetime: grant.lifetime, due: refreshDue}
	switch {
	case ctx.Err() != nil:
		return attempt{}, false
	case failure == nil && !fresh.valid(ended):
		failure = &RefreshError{
			Outcome: OutcomeUnavailable,
			Reason:  "the login server took longer to answer than its token lives",
			Advice:  outageAdvice,
		}
	case failure != nil && failure.Outcome == OutcomeRejected:
		for _, hint := range l.config.Credentials.hints(pair) {
			failure.Advice += " " + hint
		}
	}
	got := attempt{failure: failure, took: ended.Sub(started), ended: ended}
	if failure == nil {
		got.token = fresh
	}
	return got, true
}

// record publishes an attempt, together with another change, and tells of it.
func (l *loop) record(got attempt, also func(next *state)) {
	next := l.publish(func(next *state) {
		next.waiting, next.elsewhere = false, got.elsewhere
		if got.failure != nil {
			next.failed(got)
		} else {
			next.succeeded(got.token, got.ended)
		}
		if !got.elsewhere {
			next.lastTook = got.took
			next.refreshes[next.outcome().index()]++
		}
		also(next)
	})
	event := next.event(l.config.Account, got.ended)
	event.FromPeer, event.Duration = got.elsewhere, got.took
	l.config.OnRefresh(event)
}

func (next *state) succeeded(fresh *token, now time.Time) {
	next.token = fresh
	next.failure, next.failures = nil, 0
	next.lastSuccess = now
	next.nextAttempt = later(fresh.due(fresh.issued, fresh.lifetime, random()), now.Add(minRefresh))
}

func (next *state) failed(got attempt) {
	next.failure, next.failedAt = got.failure, got.ended
	if got.elsewhere {
		next.failures, next.nextAttempt = got.failures, got.next
		return
	}
	next.failures++
	next.nextAttempt = later(got.next, got.ended.Add(retryDelay(got.failure, next.failures, random())))
}

// random is in [0, 1). It spreads replicas and protects nothing.
func random() float64 {
	return rand.Float64() //nolint:gosec // G404: as it says.
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
