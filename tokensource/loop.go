package tokensource

import (
	"context"
	"time"
)

// sourceLoop is a running source's fetcher. Only Run's goroutine uses it.
type sourceLoop struct {
	*Source
	inUse     *fetcher // with the set in use; nil until there is one
	candidate candidateCredentials
	failed    failureStreak // of the pair in use, since its last token
	// pauseIsShared means that all brokers that share the token pause after the last failure as long.
	pauseIsShared bool

	readAt   time.Time // when to read the credentials again; zero: when a change is signalled
	modified fileTimes // of their files, when they were last read
	// storeCheckAt is when to check the store for a token; zero: when it notifies. storeCheckedAt is when it was last checked.
	storeCheckAt, storeCheckedAt time.Time
}

// Run fetches the token and keeps it fresh until ctx is done. After that the last token remains available until it expires, and
// waiting requests fail. Failures are reported to OnRefresh and in Snapshot. Run must be called at most once.
func (s *Source) Run(ctx context.Context) {
	defer s.publish(func(next *publishedState) { next.stopped = true })
	l := &sourceLoop{Source: s, readAt: time.Now()}
	defer func() {
		l.inUse.close()
		l.candidate.fetcher.close()
	}()
	for ctx.Err() == nil {
		at, do := l.nextAction()
		due := time.Until(at)
		if due <= 0 {
			do(ctx)
			continue
		}
		select {
		case <-time.After(min(due, clockCheckInterval)):
		case <-l.wake:
			l.shortenPause()
		case <-l.credentialsChanged:
			l.readAt = time.Now()
		case <-l.notified:
			l.scheduleStoreCheck()
		case <-ctx.Done():
		}
	}
}

// nextAction returns what to do next, and when: read the credentials, check the store, or refresh the token.
func (l *sourceLoop) nextAction() (at time.Time, do func(context.Context)) {
	if l.inUse == nil {
		return l.readAt, l.reloadCredentials // without credentials there is nothing to refresh
	}
	at, do = l.nextRefresh(), l.refresh
	if !l.storeCheckAt.IsZero() && l.storeCheckAt.Before(at) {
		at, do = l.storeCheckAt, l.checkStore
	}
	if !l.readAt.IsZero() && l.readAt.Before(at) {
		at, do = l.readAt, l.reloadCredentials
	}
	return at, do
}

// nextRefresh returns when the next attempt is due: at once if the token has ended early, except in a pause after a failure, or while
// another broker fetches. A jump of the wall clock ends a pause, because the login server has not been asked since.
func (l *sourceLoop) nextRefresh() time.Time {
	current, now := l.state.Load(), time.Now()
	switch last := current.token; {
	case current.waiting, last == nil, last.fullyValid(now):
	case current.LastFailure == nil, last.valid(now) && last.expiredByWallClock(now) && !last.expiredByWallClock(current.LastFailureAt):
		return earlier(current.NextAttempt, current.LastFailureAt.Add(minBackoff))
	}
	return current.NextAttempt
}

func (l *sourceLoop) refresh(ctx context.Context) {
	result, ok := l.inUse.fetch(ctx, l.known())
	switch {
	case !ok:
		return
	case result.isPending():
		l.publish(func(next *publishedState) {
			next.NextAttempt = result.next
			next.waiting = !next.token.fullyValid(result.ended)
		})
		return
	}
	if isRejection(result.failure) {
		rejected := l.inUse
		l.candidate.shortenWait()
		l.reloadCredentials(ctx)
		if l.inUse != rejected { // the new ones work, so there is no need to report the rejection
			if !result.fromPeer {
				l.publish(func(next *publishedState) { next.Refreshes[OutcomeRejected.index()]++ })
			}
			return
		}
	}
	l.record(result)
}

// checkStore takes a token that another broker has stored, after a notification.
func (l *sourceLoop) checkStore(ctx context.Context) {
	l.storeCheckAt, l.storeCheckedAt = time.Time{}, time.Now()
	if result, ok := l.inUse.stored(ctx, l.known()); ok {
		l.record(result)
	}
}

// scheduleStoreCheck spreads the checks of brokers that have a token, because all are notified at once. Anyone who can write to
// the store can notify without end, so there is a pause between two checks.
func (l *sourceLoop) scheduleStoreCheck() {
	now := time.Now()
	storeCheckAt := later(now, l.storeCheckedAt.Add(minRefreshInterval))
	if current := l.state.Load().token; current.fullyValid(now) {
		spread := min(maxJitterBetweenBrokers, current.remaining(now)/10) // the token must not end before
		storeCheckAt = later(now, l.storeCheckedAt.Add(spread)).Add(jitter(spread))
	}
	if l.storeCheckAt.IsZero() || storeCheckAt.Before(l.storeCheckAt) {
		l.storeCheckAt = storeCheckAt
	}
}
