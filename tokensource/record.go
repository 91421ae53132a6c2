package tokensource

import (
	"cmp"
	"time"
)

// record publishes the result of an attempt and reports it to OnRefresh.
func (l *sourceLoop) record(result fetchResult) {
	outcome := OutcomeSuccess
	if result.failure != nil {
		outcome = result.failure.Outcome
	}
	published := l.publish(func(next *publishedState) {
		next.waiting, next.FromPeer = false, result.fromPeer
		if result.failure != nil {
			l.recordFailure(next, result)
		} else {
			l.failed = failureStreak{}
			next.recordSuccess(result.token, result.ended)
		}
		if !result.fromPeer {
			next.LastDuration = result.duration
			next.Refreshes[outcome.index()]++
		}
	})
	event := RefreshEvent{
		Account: published.Account, Outcome: outcome, FromPeer: result.fromPeer, Duration: result.duration, Err: result.failure,
		Next: max(0, published.NextAttempt.Sub(result.ended)), ConsecutiveFailures: published.ConsecutiveFailures,
	}
	if published.token.valid(result.ended) {
		event.Remaining = published.token.remaining(result.ended)
	}
	l.config.OnRefresh(event)
}

func (s *publishedState) recordSuccess(fresh *token, now time.Time) {
	s.LastFailure, s.ConsecutiveFailures, s.rejected = nil, 0, false
	s.LastSuccess = now
	s.NextAttempt = later(fresh.refreshAt, now.Add(minRefreshInterval))
	fresh.api = s.environment.API
	fresh.wallExpiry = earlier(now.Round(0).Add(fresh.remaining(now)), fresh.expires()) // these differ after a suspend in the attempt
	switch {
	case s.previous.has(fresh.authorization) && s.token.fullyValid(now) && s.token.remaining(now) > fresh.remaining(now):
		return // from a cache; the current token is better
	case !s.token.has(fresh.authorization):
		s.previous = s.token
	}
	s.token = fresh
}

// recordFailure changes only the counters and the time of the next attempt.
func (l *sourceLoop) recordFailure(next *publishedState, result fetchResult) {
	l.failed.add(result.failure, result.ended)
	l.pauseIsShared = !result.next.IsZero()
	if l.pauseIsShared {
		l.failed.count, l.failed.rejections, next.NextAttempt = result.failures, result.rejections, result.next
	} else {
		next.NextAttempt = l.retryAt(l.tokenNeededSinceLastCall())
	}
	next.LastFailure, next.LastFailureAt, next.ConsecutiveFailures = result.failure, result.ended, l.failed.count
	next.rejected = l.failed.isPairRejected(next.isPairUnproven())
}

// retryAt returns when to try again after an attempt of this broker has failed.
func (l *sourceLoop) retryAt(needed bool) time.Time {
	return l.failed.at.Add(l.failed.pause(l.state.Load().isPairUnproven(), l.known(), needed))
}

// tokenNeededSinceLastCall reports whether requests wait for a token, or have failed for lack of one since the last call: each
// call resets that.
func (l *sourceLoop) tokenNeededSinceLastCall() bool {
	return l.unserved.Swap(false) || l.waiting.Load() > 0
}

// known returns the token, which may have expired.
func (l *sourceLoop) known() *token { return cmp.Or(l.state.Load().token, l.inUse.expiredToken()) }

// shortenPause shortens the pause after a failed attempt, because a request waits now, or the API has refused the token. If all
// brokers pause, the fetcher decides how long.
func (l *sourceLoop) shortenPause() {
	current := l.state.Load()
	var at time.Time
	switch {
	case l.failed.count == 0, current.rejected:
		return
	case !l.pauseIsShared:
		at = l.retryAt(true)
	case current.token.isRefused() && current.token.refusedAt.Load().After(current.LastFailureAt):
		at = current.LastFailureAt.Add(minBackoff)
	default:
		return
	}
	if at.Before(current.NextAttempt) {
		l.publish(func(next *publishedState) { next.NextAttempt = at })
	}
}

// failureStreak is the failed attempts in a row with one pair.
type failureStreak struct {
	count         int
	last          *RefreshError
	at            time.Time // when the last one ended
	rejections    int       // in a row, up to the last one
	rejectedSince time.Time // when the first of them ended
	random        float64   // the jitter of the pause after the last one
}

func (f *failureStreak) add(failure *RefreshError, at time.Time) {
	f.count, f.last, f.at, f.random = f.count+1, failure, at, randomFraction()
	switch {
	case !isRejection(failure):
		f.rejections = 0
		return
	case f.rejections == 0:
		f.rejectedSince = at
	}
	f.rejections++
}

// isPairRejected reports whether the pair cannot be used. One rejection of a pair that has yielded a token may be that of a server
// that does not know it yet, or does not know it any more while it is being changed.
func (f *failureStreak) isPairRejected(unproven bool) bool {
	return f.rejections > 1 || f.rejections == 1 && unproven
}

// pause returns the pause after the last one. A token that the API refuses does not count, but must not be lost either: perhaps
// only one request lacked the rights. The other parameters are those of pauseAfterFailures and pauseAfterRejections.
func (f *failureStreak) pause(unproven bool, known *token, needed bool) time.Duration {
	remaining := known.remaining(f.at)
	if f.isPairRejected(unproven) {
		return pauseAfterRejections(f.rejections, f.at.Sub(f.rejectedSince), unproven, remaining)
	}
	return min(pauseAfterFailures(f.last, f.count, remaining, needed, f.random), pauseAfterFailures(f.last, f.count, known.usableFor(f.at), needed, f.random))
}

// publish replaces the state with a changed copy and wakes those who wait for it. Only the loop's goroutine may call it.
func (s *Source) publish(change func(next *publishedState)) *publishedState {
	previous := s.state.Load()
	next := *previous
	next.replaced = make(chan struct{})
	change(&next)
	s.state.Store(&next)
	close(previous.replaced)
	return &next
}

// RefreshEvent describes a token request that has ended.
type RefreshEvent struct {
	Account             string
	Outcome             Outcome
	FromPeer            bool          // another broker made the request and shared its result through the store
	Duration            time.Duration // of the request; 0 if another broker made it
	Next                time.Duration // until the next one is due
	Err                 *RefreshError // nil on success
	ConsecutiveFailures int           // this one and those before it since the last success; 0 on success
	Remaining           time.Duration // how long the current token, new or old, is still valid; 0 without one
}
