package tokensource

import "time"

// failures are the failed attempts in a row with one pair.
type failures struct {
	count         int
	last          *RefreshError
	at            time.Time // when the last one ended
	rejections    int       // in a row, up to the last one
	rejectedSince time.Time // when the first of them ended
	random        float64   // the jitter of the pause after the last one
}

func (f *failures) add(failure *RefreshError, at time.Time) {
	f.count++
	f.last, f.at, f.random = failure, at, random()
	switch {
	case !isRejection(failure):
		f.rejections = 0
		return
	case f.rejections == 0:
		f.rejectedSince = at
	}
	f.rejections++
}

// areRejections reports whether the pair cannot be used. One rejection of a pair that has yielded a token may be that of a server
// that does not know it yet, or does not know it any more while it is being changed.
func (f *failures) areRejections(changed bool) bool {
	return f.rejections > 1 || f.rejections == 1 && changed
}

// pause returns the pause after the last one. Its parameters are those of nextPause and rejectedPause.
func (f *failures) pause(changed bool, remaining time.Duration, needed bool) time.Duration {
	if f.areRejections(changed) {
		return rejectedPause(f.rejections, f.at.Sub(f.rejectedSince), changed, remaining)
	}
	return nextPause(f.last, f.count, remaining, needed, f.random)
}

// isRejection reports whether the login server has rejected the credentials. A nil failure is none.
func isRejection(failure *RefreshError) bool {
	return failure != nil && failure.Outcome == OutcomeRejected
}

// recordFailure changes only the counters and the time of the next attempt.
func (l *loop) recordFailure(next *state, result attempt) {
	l.failed.add(result.failure, result.ended)
	l.pauseIsShared = !result.next.IsZero()
	if l.pauseIsShared {
		l.failed.count, next.nextAttempt = result.failures, result.next
	} else {
		next.nextAttempt = l.retryAt(next, l.needed())
	}
	next.failure, next.failedAt, next.failures = result.failure, result.ended, l.failed.count
	next.rejected = l.failed.areRejections(!l.proven)
}

// retryAt returns when to try again after an attempt of this broker has failed.
func (l *loop) retryAt(s *state, needed bool) time.Time {
	return l.failed.at.Add(l.failed.pause(!l.proven, l.remaining(s, l.failed.at), needed))
}

// needed reports whether requests need a token: they wait for one, or have failed for lack of one since the last call.
func (l *loop) needed() bool { return l.unserved.Swap(false) || l.waiting.Load() > 0 }

// remaining returns what is left of the token; or, negated, for how long there has been none.
func (l *loop) remaining(s *state, now time.Time) time.Duration {
	if s.token == nil {
		return l.started.Sub(now)
	}
	return s.token.remaining(now)
}

// shortenPause shortens the pause after a failed attempt, because a request has begun to wait.
func (l *loop) shortenPause() {
	current := l.state.Load()
	if l.failed.count == 0 || l.pauseIsShared || current.rejected {
		return
	}
	if at := l.retryAt(current, true); at.Before(current.nextAttempt) {
		l.publish(func(next *state) { next.nextAttempt = at })
	}
}
