package tokensource

import "time"

// recordFailure changes only the counters and the time of the next attempt.
func (l *loop) recordFailure(next *state, result attempt) {
	next.failure, next.failedAt = result.failure, result.ended
	l.rejections.add(result.failure, result.ended)
	// One rejection of a pair that has worked may be that of a server that does not know it yet.
	next.rejected = isRejection(result.failure) && (!l.proven || l.rejections.count > 1)
	l.pauseIsShared = !result.next.IsZero()
	if l.pauseIsShared {
		next.failures, next.nextAttempt = result.failures, result.next
		return
	}
	next.failures++
	l.random = random()
	next.nextAttempt = l.retryAt(next, l.needed())
}

// retryAt returns when to try again after an attempt of this broker has failed.
func (l *loop) retryAt(s *state, needed bool) time.Time {
	remaining := l.remaining(s, s.failedAt)
	if s.rejected {
		return s.failedAt.Add(rejectedPause(l.rejections.count, s.failedAt.Sub(l.rejections.since), !l.proven, remaining))
	}
	return s.failedAt.Add(nextPause(s.failure, s.failures, remaining, needed, l.random))
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
	if current.failure == nil || l.pauseIsShared || current.rejected {
		return
	}
	if at := l.retryAt(current, true); at.Before(current.nextAttempt) {
		l.publish(func(next *state) { next.nextAttempt = at })
	}
}

// rejections counts the consecutive rejections of a pair.
type rejections struct {
	count int
	since time.Time // the first
}

func (r *rejections) add(failure *RefreshError, at time.Time) {
	switch {
	case !isRejection(failure):
		*r = rejections{}
	case r.count == 0:
		*r = rejections{1, at}
	default:
		r.count++
	}
}

// isRejection reports whether the login server has rejected the credentials. A nil failure is none.
func isRejection(failure *RefreshError) bool {
	return failure != nil && failure.Outcome == OutcomeRejected
}
