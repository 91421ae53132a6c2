package tokensource

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// ReloadOutcome is the result of reading changed credentials. The set is closed; metrics use it as a label.
type ReloadOutcome string

// The outcomes of a reload.
const (
	ReloadSuccess    ReloadOutcome = "success"    // the new pair yielded a token and is in use
	ReloadRejected   ReloadOutcome = "rejected"   // the login server rejects the new pair; the old one stays in use
	ReloadUnreadable ReloadOutcome = "unreadable" // the pair cannot be read; the old one stays in use
	// ReloadPostponed is not counted: the new pair could not be tried yet and is retried soon.
	ReloadPostponed ReloadOutcome = "postponed"
)

// ReloadOutcomes lists the outcomes that are counted, in the order of Snapshot.Reloads.
var ReloadOutcomes = [...]ReloadOutcome{ReloadSuccess, ReloadRejected, ReloadUnreadable}

func (o ReloadOutcome) index() int { return slices.Index(ReloadOutcomes[:], o) }

// CredentialReload describes a change of the credentials. Its texts contain no secret.
type CredentialReload struct {
	Account string
	Outcome ReloadOutcome
	First   bool // there have been no credentials yet
	// Reason and Advice say what went wrong and what to do; empty on success.
	Reason, Advice string
	Next           time.Duration // until the next attempt, if the files do not change before; 0 on success
}

const (
	// candidatePause is the minimum time between attempts with two different pairs, so that a program that writes the
	// files in a loop does not flood the login server.
	candidatePause = time.Second
	// rereadPause is how often unreadable credentials are read and reported again, even if no change is noticed.
	rereadPause = 5 * time.Minute
)

// candidateResult is the last attempt with a changed pair that yielded no token.
type candidateResult struct {
	failures
	pair      Credentials
	wait      time.Duration // before the same pair is tried again
	rateLimit time.Duration // the least that a 429 allows
}

// retryAt returns when a pair may be tried.
func (r *candidateResult) retryAt(pair Credentials) time.Time {
	switch {
	case r.at.IsZero():
		return r.at
	case pair.Equal(r.pair):
		return r.at.Add(r.wait)
	default:
		return r.at.Add(candidatePause)
	}
}

// shortenWait lets the same pair be tried as soon as possible.
func (r *candidateResult) shortenWait() { r.wait = min(r.wait, max(candidatePause, r.rateLimit)) }

// forgetFailures lets the same pair be tried as soon as possible, as if for the first time. The time stays: neither writing a
// file again and again nor alternating between two pairs floods the login server.
func (r *candidateResult) forgetFailures() {
	r.shortenWait()
	r.failures = failures{at: r.at}
}

// readFailure is the last reported failure to read the credentials, if no read has succeeded since. The same failure is
// not reported at every read.
type readFailure struct {
	text string
	at   time.Time
}

// reloadCredentials reads the credentials and, if they have changed, tries the new pair: make before break. Only a pair
// that yields a token replaces the old one, together with its token. It reports whether that has happened.
func (l *loop) reloadCredentials(ctx context.Context) bool {
	l.readAt = time.Time{}
	if !l.inUse.pair.isZero() && !l.config.Credentials.isSettled() {
		l.readAt = time.Now().Add(candidatePause)
		return false
	}
	modified := l.config.Credentials.modified() // before reading, so that no later change is missed
	written := modified != l.modified
	l.modified = modified
	pair, err := l.config.Credentials.Read()
	switch {
	case err != nil:
		l.credentialsUnreadable(err)
		return false
	case l.inUse.pair.isZero():
		// The first pair replaces nothing, so it need not be tried first.
		l.inUse, l.lastReadError = l.open(pair), readFailure{}
		l.started = time.Now()
		l.publish(func(next *state) {
			next.lastChange = time.Now()
			next.failure, next.rejected, next.nextAttempt = nil, false, time.Time{}
			next.pendingReload = nil
		})
		return false
	case pair.Equal(l.inUse.pair):
		l.unchanged(written)
		return false
	}
	if pair.Equal(l.lastCandidate.pair) && (written || l.lastReadError.text != "") {
		l.lastCandidate.forgetFailures() // perhaps the login server knows it now
	}
	l.lastReadError = readFailure{}
	if retryAt := l.lastCandidate.retryAt(pair); time.Until(retryAt) > 0 {
		l.readAt = retryAt
		return false
	}
	return l.tryCandidate(ctx, pair)
}

// unchanged gives up a changed pair, because the files contain the pair in use again. If that is rejected and they were
// written, it is tried again soon: perhaps the login server knows it now.
func (l *loop) unchanged(written bool) {
	current := l.state.Load()
	retry := written && current.rejected
	if current.pendingReload != nil || retry {
		l.publish(func(next *state) {
			next.pendingReload = nil
			if retry {
				l.failed.rejections = 0
				next.nextAttempt = earlier(next.nextAttempt, next.failedAt.Add(minBackoff))
			}
		})
	}
	l.lastCandidate.forgetFailures()
	l.lastReadError = readFailure{}
	l.candidate.close()
	l.candidate = pairFetcher{}
}

// tryWaiting reads the credentials because the login server has rejected those in use. A changed pair that waits to be tried
// again is tried at once. It reports whether that pair is now in use.
func (l *loop) tryWaiting(ctx context.Context) bool {
	l.lastCandidate.shortenWait()
	return l.reloadCredentials(ctx)
}

// tryCandidate requests a token with a pair other than the one in use. It reports whether the pair is now in use.
func (l *loop) tryCandidate(ctx context.Context, pair Credentials) bool {
	if !pair.Equal(l.candidate.pair) {
		l.candidate.close()
		l.candidate = l.open(pair)
	}
	result, ok := l.obtain(ctx, l.candidate, nil)
	switch {
	case !ok:
		return false
	case result.isPending():
		l.readAt = result.next
		return false
	case result.failure != nil:
		l.candidateFailed(pair, result)
		return false
	}
	l.inUse.close()
	l.inUse, l.candidate = l.candidate, pairFetcher{}
	l.lastCandidate = candidateResult{failures: failures{at: result.ended}}
	l.record(result, func(next *state) {
		next.lastChange = result.ended
		next.reloads[ReloadSuccess.index()]++
		next.pendingReload = nil
	})
	l.config.OnReload(CredentialReload{Account: l.config.Account, Outcome: ReloadSuccess})
	return true
}

// candidateFailed keeps the old pair and schedules the next attempt with the new one.
func (l *loop) candidateFailed(pair Credentials, result attempt) {
	last := &l.lastCandidate
	if !pair.Equal(last.pair) {
		*last = candidateResult{pair: pair}
	}
	last.add(result.failure, result.ended)
	remaining, needed := maxLifetime, false
	if current := l.state.Load(); current.rejected { // only the new pair can yield a token
		remaining, needed = l.remaining(current, result.ended), l.needed()
	}
	last.wait, last.rateLimit = last.pause(true, remaining, needed), 0
	if !result.next.IsZero() {
		last.wait = result.next.Sub(result.ended)
	}
	if result.failure.Status == http.StatusTooManyRequests {
		last.rateLimit = min(result.failure.RetryAfter, maxRetryAfter)
	}
	l.readAt = last.retryAt(pair)
	outcome := ReloadPostponed
	if isRejection(result.failure) {
		outcome = ReloadRejected
	}
	l.publishPendingReload(CredentialReload{Outcome: outcome, Reason: result.failure.Reason, Advice: result.failure.Advice, Next: last.wait}, func(*state) {})
}

// publishPendingReload publishes that the credentials that were last read are not in use, together with another change,
// and reports it to OnReload.
func (l *loop) publishPendingReload(reload CredentialReload, also func(next *state)) {
	reload.Account = l.config.Account
	l.publish(func(next *state) {
		next.pendingReload, next.pendingReloadAt = &reload, time.Now()
		if reload.Outcome != ReloadPostponed {
			next.reloads[reload.Outcome.index()]++
		}
		also(next)
	})
	l.config.OnReload(reload)
}

// credentialsUnreadable keeps the current pair. Before the first pair, waiting requests fail at once.
func (l *loop) credentialsUnreadable(err error) {
	l.readAt = time.Now().Add(rereadPause)
	if l.lastReadError.text == err.Error() && time.Since(l.lastReadError.at) < rereadPause {
		return
	}
	l.lastReadError = readFailure{err.Error(), time.Now()}
	failure := &RefreshError{
		Outcome: OutcomeRejected, // as far as an app is concerned
		Reason:  "cannot read the credentials: " + oneLine(err),
		Advice:  "Fix the files; the broker picks them up automatically.",
	}
	first := l.inUse.pair.isZero()
	l.publishPendingReload(CredentialReload{Outcome: ReloadUnreadable, First: first, Reason: failure.Reason, Advice: failure.Advice, Next: rereadPause}, func(next *state) {
		if first {
			next.failure, next.rejected, next.failedAt, next.nextAttempt = failure, true, time.Now(), l.readAt
		}
	})
}
