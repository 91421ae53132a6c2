package tokensource

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ReloadOutcome is the result of reading changed credentials. The set is closed; metrics use it as a label.
type ReloadOutcome string

// The outcomes of a reload.
const (
	ReloadSuccess    ReloadOutcome = "success"    // the new set yielded a token and is in use
	ReloadRejected   ReloadOutcome = "rejected"   // the login server rejects the new set; the old one stays in use
	ReloadUnreadable ReloadOutcome = "unreadable" // the set cannot be read; the old one stays in use
	// ReloadPostponed is not counted: the new set could not be tried yet and is retried soon.
	ReloadPostponed ReloadOutcome = "postponed"
)

// CountedReloadOutcomes lists the outcomes that are counted, in the order of Snapshot.Reloads.
var CountedReloadOutcomes = [...]ReloadOutcome{ReloadSuccess, ReloadRejected, ReloadUnreadable}

func (o ReloadOutcome) index() int { return slices.Index(CountedReloadOutcomes[:], o) }

// CredentialReload describes a change of the credentials. Its texts contain no secret.
type CredentialReload struct {
	Account string
	Outcome ReloadOutcome
	First   bool // there have been no credentials yet
	// Reason and Advice say what went wrong and what to do; empty on success.
	Reason, Advice string
	Next           time.Duration // until the next attempt, if the files do not change before; 0 on success
}

// minIntervalBetweenCandidates is the minimum time between attempts with two different sets, so that a program that writes the
// files in a loop does no harm.
const minIntervalBetweenCandidates = time.Second

// candidateCredentials are a changed set that has not yielded a token yet; zero without one.
type candidateCredentials struct {
	failureStreak
	fetcher *fetcher // of set; nil if the files have another set
	set     CredentialsAndEnvironment
	wait    time.Duration // after the last failure
}

// retryAt returns when a set may be tried.
func (c *candidateCredentials) retryAt(set CredentialsAndEnvironment) time.Time {
	switch {
	case c.at.IsZero():
		return c.at
	case set.Equal(c.set):
		return c.at.Add(c.wait)
	default:
		return c.at.Add(minIntervalBetweenCandidates)
	}
}

// shortenWait lets the same set be tried as soon as possible.
func (c *candidateCredentials) shortenWait() {
	var rateLimit time.Duration
	if c.last != nil && c.last.Status == http.StatusTooManyRequests {
		rateLimit = min(c.last.RetryAfter, maxRetryAfter)
	}
	c.wait = min(c.wait, max(minIntervalBetweenCandidates, rateLimit))
	if c.fetcher != nil && rateLimit == 0 {
		c.fetcher.endPause()
	}
}

// forgetFailures lets the same set be tried as soon as possible, as if for the first time. Time and rate limit of the last failure
// stay: neither writing a file again and again nor alternating between two sets floods the login server.
func (c *candidateCredentials) forgetFailures() {
	c.shortenWait()
	c.failureStreak = failureStreak{last: c.last, at: c.at}
}

// reloadCredentials reads the credentials and, if they have changed, tries the new set. Only a set that yields a token replaces
// the old one, together with its token.
func (l *sourceLoop) reloadCredentials(ctx context.Context) {
	l.readAt = time.Time{}
	modified := l.config.Credentials.modified() // before reading, so that no later change is missed
	if l.mayBeHalfWritten(modified) && !l.config.Credentials.isSettled() {
		l.readAt = time.Now().Add(200 * time.Millisecond)
		return
	}
	written := modified != l.modified
	l.modified = modified
	set, err := l.config.Credentials.Read()
	switch {
	case err != nil:
		l.credentialsUnreadable(err)
	case l.inUse == nil:
		// The first set replaces nothing, so it need not be tried first.
		l.inUse = l.newFetcher(set)
		l.reportEnvironments()
		l.publish(func(next *publishedState) {
			next.environment, next.LastChange, next.PendingReload = set.Environment, time.Now(), nil
			next.LastFailure, next.rejected, next.NextAttempt = nil, false, time.Time{}
		})
	case set.Equal(l.inUse.set):
		l.dropCandidate(written)
	default:
		if pending := l.state.Load().PendingReload; written || pending != nil && pending.Outcome == ReloadUnreadable {
			l.candidate.forgetFailures() // perhaps the login server knows it now
		}
		if retryAt := l.candidate.retryAt(set); time.Until(retryAt) > 0 {
			l.readAt = retryAt
		} else {
			l.tryCandidate(ctx, set)
		}
	}
}

// mayBeHalfWritten reports whether the files must settle before they are read: if one was written since the start, or if there may
// be an environment. Otherwise the pair of an account that is being created would reach the wrong login server, because the file that
// names the right one is written last.
func (l *sourceLoop) mayBeHalfWritten(modified fileTimes) bool {
	isNew := func(at time.Time) bool { return at.After(l.config.created) }
	return l.config.Credentials.EnvironmentDir != "" || slices.ContainsFunc(modified[:], isNew)
}

// reportEnvironments reports the environments of the set in use and of the candidate to OnEnvironment.
func (l *sourceLoop) reportEnvironments() {
	var tried APIEnvironment
	if l.candidate.fetcher != nil {
		tried = l.candidate.set.Environment
	}
	l.config.OnEnvironment(l.config.Account, l.inUse.set.Environment, tried)
}

// dropCandidate gives up a changed set, because the files contain the set in use again. If that is rejected and they were
// written, it is tried again soon: perhaps the login server knows it now.
func (l *sourceLoop) dropCandidate(filesWritten bool) {
	current := l.state.Load()
	retry := filesWritten && current.rejected
	if current.PendingReload != nil || retry {
		l.publish(func(next *publishedState) {
			next.PendingReload = nil
			if retry {
				l.failed.rejections = 0
				next.NextAttempt = earlier(next.NextAttempt, next.LastFailureAt.Add(minBackoff))
				l.inUse.endPause()
			}
		})
	}
	l.candidate.forgetFailures()
	if l.candidate.fetcher != nil {
		l.candidate.fetcher.close()
		l.candidate.fetcher = nil
		l.reportEnvironments()
	}
}

// tryCandidate requests a token with a set other than the one in use.
func (l *sourceLoop) tryCandidate(ctx context.Context, set CredentialsAndEnvironment) {
	if l.candidate.fetcher == nil || !set.Equal(l.candidate.set) {
		l.candidate.fetcher.close()
		l.candidate = candidateCredentials{fetcher: l.newFetcher(set), failureStreak: failureStreak{at: l.candidate.at}, set: set}
		l.reportEnvironments()
	}
	switch result, ok := l.candidate.fetcher.fetch(ctx, l.candidate.fetcher.expiredToken()); {
	case !ok:
	case result.isPending():
		l.readAt = result.next
	case result.failure != nil:
		l.candidateFailed(result)
	default:
		l.useCandidate(result)
	}
}

// useCandidate replaces the set in use, together with its token.
func (l *sourceLoop) useCandidate(result fetchResult) {
	l.inUse.close()
	set := l.candidate.set
	moved := !set.Environment.Equal(l.inUse.set.Environment)
	l.inUse, l.candidate = l.candidate.fetcher, candidateCredentials{failureStreak: failureStreak{at: result.ended}}
	l.reportEnvironments()
	l.publish(func(next *publishedState) {
		if moved {
			next.previous = nil // from a login server's cache, it would not displace the token of the environment that was left
		}
		next.environment, next.LastChange, next.PendingReload = set.Environment, result.ended, nil
		next.Reloads[ReloadSuccess.index()]++
	})
	l.record(result)
	l.config.OnReload(CredentialReload{Account: l.config.Account, Outcome: ReloadSuccess})
}

// candidateFailed keeps the old set and schedules the next attempt with the new one.
func (l *sourceLoop) candidateFailed(result fetchResult) {
	c := &l.candidate
	c.add(result.failure, result.ended)
	known, needed := &token{issued: result.ended, lifetime: maxLifetime}, false
	if l.state.Load().rejected { // only the new pair can yield a token
		known, needed = l.known(), l.tokenNeededSinceLastCall()
	}
	c.wait = c.pause(true, known, needed)
	if !result.next.IsZero() {
		c.wait = result.next.Sub(result.ended)
	}
	l.readAt = result.ended.Add(c.wait)
	outcome := ReloadPostponed
	if isRejection(result.failure) {
		outcome = ReloadRejected
	}
	l.publishPendingReload(CredentialReload{Outcome: outcome, Reason: result.failure.Reason, Advice: result.failure.Advice, Next: c.wait})
}

// publishPendingReload publishes that the credentials that were last read are not in use, and reports it to OnReload.
func (l *sourceLoop) publishPendingReload(reload CredentialReload) {
	reload.Account = l.config.Account
	l.publish(func(next *publishedState) {
		next.PendingReload, next.PendingReloadAt = &reload, time.Now()
		if reload.Outcome != ReloadPostponed {
			next.Reloads[reload.Outcome.index()]++
		}
	})
	l.config.OnReload(reload)
}

// credentialsUnreadable keeps the current set, and reports each failure once. Before the first set, requests fail at once.
func (l *sourceLoop) credentialsUnreadable(err error) {
	const rereadInterval = 5 * time.Minute // even if no change is noticed
	l.readAt = time.Now().Add(rereadInterval)
	failure := &RefreshError{
		Outcome:    OutcomeRejected, // as far as an app is concerned
		Unreadable: true,
		Reason:     "cannot read the credentials: " + strings.ReplaceAll(err.Error(), "\n", "; "), // of errors.Join
		Advice:     cmp.Or(l.config.Credentials.Restart, "Fix the files; the broker picks them up automatically."),
	}
	if current := l.state.Load(); current.PendingReload != nil && current.PendingReload.Reason == failure.Reason && time.Since(current.PendingReloadAt) < rereadInterval {
		return
	}
	first := l.inUse == nil
	if first {
		l.publish(func(next *publishedState) {
			next.LastFailure, next.rejected, next.LastFailureAt, next.NextAttempt = failure, true, time.Now(), l.readAt
		})
	}
	l.publishPendingReload(CredentialReload{Outcome: ReloadUnreadable, First: first, Reason: failure.Reason, Advice: failure.Advice, Next: rereadInterval})
}
