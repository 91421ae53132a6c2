package tokensource

import (
	"context"
	"math/rand/v2"
	"time"
)

// loop is a running source's fetcher. Only Run's goroutine uses it.
type loop struct {
	*Source
	inUse      pairFetcher // with the pair in use; zero until there is one
	candidate  pairFetcher // with a changed pair that has not yielded a token yet
	started    time.Time   // when the pair in use was first read; before that, when the loop began
	proven     bool        // whether the pair in use has yielded a token
	rejections rejections  // of the pair in use
	// random is the jitter of the pause after the last failed attempt. pauseIsShared means that all brokers that share the
	// token pause as long.
	random        float64
	pauseIsShared bool

	readAt        time.Time    // when to read the credentials again; zero: when a change is signalled
	modified      [2]time.Time // of their files, when they were last read
	lastCandidate candidateResult
	lastReadError readFailure
	// lookAt is when to check the store for a token after its notification; zero: there was none. lookedAt is the time of
	// the last check.
	lookAt, lookedAt time.Time
}

// Run fetches the token and keeps it fresh until ctx is done. After that the last token remains available until it
// expires, and waiting requests fail. Failed token requests do not end Run: they are reported to OnRefresh and in
// Snapshot. Run must be called at most once.
func (s *Source) Run(ctx context.Context) {
	defer s.publish(func(next *state) { next.stopped = true })
	l := &loop{Source: s, started: time.Now(), readAt: time.Now()}
	defer func() {
		l.inUse.close()
		l.candidate.close()
	}()
	for l.sleep(ctx) {
		_, do := l.nextAction()
		do(ctx)
	}
}

// sleep blocks until an action is due. It reports false if ctx is done before.
func (l *loop) sleep(ctx context.Context) bool {
	for {
		if ctx.Err() != nil {
			return false
		}
		at, _ := l.nextAction()
		due := time.Until(at)
		if due <= 0 {
			return true
		}
		timer := time.NewTimer(min(due, clockCheckInterval))
		select {
		case <-timer.C:
		case <-l.wake:
			l.shortenPause()
		case <-l.credentialsChanged:
			l.readAt = time.Now()
		case <-l.notified:
			l.onNotify()
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// nextAction returns what to do next, and when: read the credentials, check the store, or refresh the token.
func (l *loop) nextAction() (at time.Time, do func(context.Context)) {
	read := func(ctx context.Context) { l.reloadCredentials(ctx) }
	if l.inUse.pair.isZero() {
		return l.readAt, read // without credentials there is nothing to refresh
	}
	at, do = l.nextRefresh(), l.refresh
	if !l.lookAt.IsZero() && l.lookAt.Before(at) {
		at, do = l.lookAt, l.look
	}
	if !l.readAt.IsZero() && l.readAt.Before(at) {
		at, do = l.readAt, read
	}
	return at, do
}

func (l *loop) nextRefresh() time.Time {
	current := l.state.Load()
	if current.failure == nil && current.token != nil && !current.waiting && !current.token.serves(time.Now()) {
		// The token ended before its refresh was due: it was revoked, the machine was suspended, or its clock was set.
		// After a failure this does not apply: the pause stands, and so does that while another broker fetches.
		return time.Now()
	}
	return current.nextAttempt
}

// refresh makes one attempt and publishes its result. A failure changes only the counters and the time of the next
// attempt: the current token stays until it expires.
func (l *loop) refresh(ctx context.Context) {
	result, ok := l.obtain(ctx, l.inUse, l.state.Load().token)
	switch {
	case !ok:
		return
	case result.isPending():
		l.publish(func(next *state) {
			next.nextAttempt = result.next
			next.waiting = !next.token.serves(result.ended)
		})
		return
	}
	if isRejection(result.failure) && l.tryWaiting(ctx) {
		// The credentials had been changed and the new ones work: there is no need to report the rejection.
		if !result.fromPeer {
			l.publish(func(next *state) { next.refreshes[OutcomeRejected.index()]++ })
		}
		return
	}
	l.record(result, func(*state) {})
}

// look takes a token that another broker has stored, after a notification.
func (l *loop) look(ctx context.Context) {
	l.lookAt, l.lookedAt = time.Time{}, time.Now()
	if result, ok := l.inUse.stored(ctx, l.state.Load().token); ok {
		l.record(result, func(*state) {})
	}
}

// onNotify schedules a look. All brokers are notified at once, so one that has a token waits for a random time. Anyone who
// can write to the store can notify without end, so there is a pause between two looks.
func (l *loop) onNotify() {
	now := time.Now()
	lookAt := later(now, l.lookedAt.Add(minRefresh))
	if current := l.state.Load().token; current.serves(now) {
		spread := min(maxJitter, current.remaining(now)/10) // the token must not end before
		lookAt = later(now, l.lookedAt.Add(spread)).Add(jitter(spread))
	}
	if l.lookAt.IsZero() || lookAt.Before(l.lookAt) {
		l.lookAt = lookAt
	}
}

// record publishes the result of an attempt, together with another change, and reports it to OnRefresh.
func (l *loop) record(result attempt, also func(next *state)) {
	published := l.publish(func(next *state) {
		next.waiting, next.fromPeer = false, result.fromPeer
		if result.failure != nil {
			l.recordFailure(next, result)
		} else {
			l.proven, l.rejections = true, rejections{}
			next.recordSuccess(result.token, result.ended)
		}
		if !result.fromPeer {
			next.lastDuration = result.duration
			next.refreshes[next.outcome().index()]++
		}
		also(next)
	})
	event := published.event(l.config.Account, result.ended)
	event.FromPeer, event.Duration = result.fromPeer, result.duration
	l.config.OnRefresh(event)
	if result.share != nil {
		result.share()
	}
}

// random returns a number in [0, 1) for jitter. It need not be cryptographically secure.
func random() float64 {
	return rand.Float64() //nolint:gosec // G404: jitter only.
}

// jitter returns a random duration less than a maximum.
func jitter(limit time.Duration) time.Duration { return time.Duration(random() * float64(limit)) }

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
