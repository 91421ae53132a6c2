package tokensource

import (
	"context"
	"math/rand/v2"
	"time"
)

// loop is the one fetcher of a source, with what only it knows.
type loop struct {
	*Source
	pair   Credentials // in use; zero until there is one
	readAt time.Time   // when the origin is to be read again; zero: when somebody says so
	trial  trial
	told   report
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
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// next is what is to be done next, and when: to read the credentials, or to refresh the token.
func (l *loop) next() (at time.Time, reading bool) {
	refresh := l.refreshDue()
	if l.pair.isZero() || !l.readAt.IsZero() && l.readAt.Before(refresh) {
		return l.readAt, true // without credentials there is nothing to refresh
	}
	return refresh, false
}

func (l *loop) refreshDue() time.Time {
	now := l.state.Load()
	if now.failure == nil && now.token != nil && (now.token.refused.Load() || !now.token.valid(time.Now())) {
		// The token came to its end before its successor was due: it was revoked, or the machine was suspended, or
		// its clock was set. After a failure this does not count: the pause that it asked for stands.
		return time.Now()
	}
	return now.nextAttempt
}

// refresh makes one attempt and publishes what came of it. A failure changes nothing but the counters and the time of
// the next attempt: the token that there is stays until its own end.
func (l *loop) refresh(ctx context.Context) {
	got, ok := l.fetch(ctx, l.pair)
	if !ok {
		return
	}
	if got.failure != nil && got.failure.Outcome == Rejected && l.read(ctx) {
		// The credentials had been changed, and the new ones are good: nobody needs to hear of the rejection.
		l.publish(func(next *state) { next.refreshes[Rejected.index()]++ })
		return
	}
	l.record(got, func(*state) {})
}

// attempt is one token request that has ended: with a token or a failure.
type attempt struct {
	token   *token
	failure *Failure
	took    time.Duration
	ended   time.Time
}

// fetch makes one token request. It reports false if ctx was done before it ended: that is nobody's failure.
func (l *loop) fetch(ctx context.Context, pair Credentials) (attempt, bool) {
	if l.config.Slots != nil {
		select {
		case l.config.Slots <- struct{}{}:
			defer func() { <-l.config.Slots }()
		case <-ctx.Done():
			return attempt{}, false
		}
	}
	started := time.Now()
	l.fetching.Store(&started)
	defer l.fetching.Store(nil)
	grant, failure := l.config.Endpoint.exchange(ctx, pair)
	ended := time.Now()
	fresh := &token{authorization: "Bearer " + grant.accessToken, issued: started, received: ended, lifetime: grant.lifetime}
	switch {
	case ctx.Err() != nil:
		return attempt{}, false
	case failure == nil && !fresh.valid(ended):
		failure = &Failure{
			Outcome: Unavailable,
			Reason:  "the login server took longer to answer than its token lives",
			Advice:  outageAdvice,
		}
	case failure != nil && failure.Outcome == Rejected:
		for _, hint := range l.config.Origin.hints(pair) {
			failure.Advice += " " + hint
		}
	}
	return attempt{fresh, failure, ended.Sub(started), ended}, true
}

// record publishes an attempt, together with another change, and tells of it.
func (l *loop) record(got attempt, also func(next *state)) {
	next := l.publish(func(next *state) {
		next.lastTook = got.took
		if got.failure != nil {
			next.failed(got.failure, got.ended)
		} else {
			next.succeeded(got.token, got.ended)
		}
		also(next)
	})
	l.config.Observe(next.event(l.config.Account, got.ended))
}

func (next *state) succeeded(fresh *token, now time.Time) {
	next.token = fresh
	next.failure, next.failures = nil, 0
	next.lastSuccess = now
	next.nextAttempt = later(refreshDue(fresh.issued, fresh.lifetime, random()), now.Add(minRefresh))
	next.refreshes[Success.index()]++
}

func (next *state) failed(failure *Failure, now time.Time) {
	next.failure, next.failedAt = failure, now
	next.failures++
	next.nextAttempt = now.Add(retryDelay(failure, next.failures, random()))
	next.refreshes[failure.Outcome.index()]++
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
