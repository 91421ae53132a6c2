package tokensource

import (
	"context"
	"slices"
	"time"
)

// ReloadOutcome tells what came of credentials that changed: a closed set, used as the label of a metric.
type ReloadOutcome string

// The outcomes of a change.
const (
	ReloadSuccess    ReloadOutcome = "success"    // the new pair yielded a token and is in use
	ReloadRejected   ReloadOutcome = "rejected"   // the login server refuses the new pair; the old one stays in use
	ReloadUnreadable ReloadOutcome = "unreadable" // there is no pair to be read; the old one stays in use
	// ReloadPostponed is not counted: the new pair could not be tried and will be soon.
	ReloadPostponed ReloadOutcome = "postponed"
)

// ReloadOutcomes lists those that are counted, in the order of Snapshot.Reloads.
var ReloadOutcomes = [...]ReloadOutcome{ReloadSuccess, ReloadRejected, ReloadUnreadable}

func (o ReloadOutcome) index() int { return slices.Index(ReloadOutcomes[:], o) }

// Reload tells of credentials that changed. Its texts hold no secret.
type CredentialReload struct {
	Account string
	Outcome ReloadOutcome
	// Reason and Advice say what went wrong and what to do; empty on success.
	Reason, Advice string
	Next           time.Duration // until the next try, if nothing changes before; 0 on success
}

const (
	// trialPause is kept between two pairs that are tried, lest a program that writes the files in a loop makes the
	// login server see a storm.
	trialPause = time.Second
	// rereadPause is when something that could not be read is looked at, and told of, again even if nothing seems to
	// have changed.
	rereadPause = 5 * time.Minute
)

// trial is the last changed pair that was tried, and did not yield a token.
type trial struct {
	pair     Credentials
	at       time.Time
	pause    time.Duration    // before the same pair is tried again
	failures int              // in a row, of the same pair
	told     CredentialReload // what came of it
}

// due is when a pair may be tried.
func (t trial) due(pair Credentials) time.Time {
	switch {
	case t.at.IsZero():
		return t.at
	case pair.Equal(t.pair):
		return t.at.Add(t.pause)
	default:
		return t.at.Add(trialPause)
	}
}

// report is what was last told of an origin that could not be read: the same is not told every time it is looked at.
type report struct {
	text string
	at   time.Time
}

// read reads the credentials and, if they have changed, tries the new pair: make before break. Only a pair that yields a
// token takes the place of the old one, together with its token. It reports whether that has happened.
func (l *loop) read(ctx context.Context) bool {
	l.readAt = time.Time{}
	pair, err := l.config.Credentials.Read()
	switch {
	case err != nil:
		l.unreadable(err)
		return false
	case l.share.pair.isZero():
		// The first pair: there is nothing that it could displace.
		l.share, l.report = l.open(pair), report{}
		l.publish(func(next *state) {
			next.lastChange = time.Now()
			next.failure, next.nextAttempt = nil, time.Time{}
			next.unused = nil
		})
		return false
	case pair.Equal(l.share.pair):
		if l.state.Load().unused != nil { // somebody has put back what was there
			l.publish(func(next *state) { next.unused = nil })
		}
		l.trial, l.report = trial{at: l.trial.at}, report{} // whoever goes back and forth is still no storm
		l.candidate.close()
		l.candidate = share{}
		return false
	}
	if due := l.trial.due(pair); time.Until(due) > 0 {
		l.readAt = due
		if told, unused := l.trial.told, l.state.Load().unused; pair.Equal(l.trial.pair) && unused != nil && unused.Outcome == ReloadUnreadable {
			// It can be read again, and what came of it is known.
			l.report = report{}
			l.publish(func(next *state) { next.unused, next.unusedAt = &told, l.trial.at })
		}
		return false
	}
	return l.try(ctx, pair)
}

// try asks for a token with another pair than the one in use.
func (l *loop) try(ctx context.Context, pair Credentials) bool {
	if !pair.Equal(l.candidate.pair) {
		l.candidate.close()
		l.candidate = l.open(pair)
	}
	got, ok := l.obtain(ctx, &l.candidate, nil)
	switch {
	case !ok:
		return false
	case got.isWait():
		l.readAt = got.next
		return false
	case got.failure != nil:
		l.refused(pair, got)
		return false
	}
	l.share.close()
	l.share, l.candidate = l.candidate, share{}
	l.trial, l.report = trial{at: got.ended}, report{}
	l.record(got, func(next *state) {
		next.lastChange = got.ended
		next.reloads[ReloadSuccess.index()]++
		next.unused = nil
	})
	l.config.OnReload(CredentialReload{Account: l.config.Account, Outcome: ReloadSuccess})
	return true
}

// refused keeps the old pair.
func (l *loop) refused(pair Credentials, got attempt) {
	failures := 1
	if pair.Equal(l.trial.pair) {
		failures += l.trial.failures
	}
	l.trial = trial{pair: pair, at: got.ended, pause: retryDelay(got.failure, failures, random()), failures: failures}
	if got.elsewhere {
		l.trial.pause = got.next.Sub(got.ended)
	}
	l.readAt = l.trial.due(pair)
	outcome := ReloadPostponed
	if got.failure.Outcome == OutcomeRejected {
		outcome = ReloadRejected
	}
	l.trial.told = CredentialReload{Account: l.config.Account, Outcome: outcome, Reason: got.failure.Reason, Advice: got.failure.Advice, Next: l.trial.pause}
	l.keep(l.trial.told, func(*state) {})
}

// keep publishes that the credentials that were read do not take the place of what there is, together with another
// change, and tells of it.
func (l *loop) keep(reload CredentialReload, also func(next *state)) {
	reload.Account = l.config.Account
	l.publish(func(next *state) {
		next.unused, next.unusedAt = &reload, time.Now()
		if reload.Outcome != ReloadPostponed {
			next.reloads[reload.Outcome.index()]++
		}
		also(next)
	})
	l.config.OnReload(reload)
}

// unreadable keeps what there is. Where there is nothing yet, those who wait are told at once.
func (l *loop) unreadable(err error) {
	l.readAt = time.Now().Add(rereadPause)
	if l.report.text == err.Error() && time.Since(l.report.at) < rereadPause {
		return
	}
	l.report = report{err.Error(), time.Now()}
	failure := &RefreshError{
		Outcome: OutcomeRejected, // as far as an app is concerned
		Reason:  "the credentials cannot be read: " + oneLine(err),
		Advice:  "Once the files are right, they are used by themselves.",
	}
	l.keep(CredentialReload{Outcome: ReloadUnreadable, Reason: failure.Reason, Advice: failure.Advice, Next: rereadPause}, func(next *state) {
		if l.share.pair.isZero() {
			next.failure, next.failedAt, next.nextAttempt = failure, time.Now(), l.readAt
		}
	})
}
