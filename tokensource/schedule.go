package tokensource

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// The timing of token requests.
const (
	// clockCheckInterval is how often a sleeping loop checks the wall clock. Its timer runs on the monotonic clock, which stops
	// while a machine is suspended: without the check, a laptop would wake up with an expired token and sleep on.
	clockCheckInterval = 10 * time.Second

	// minRefreshInterval is the minimum time between two refreshes, so that odd responses, such as a lifetime of one second, cause
	// no busy loop.
	minRefreshInterval = 100 * time.Millisecond

	// maxLifetime limits the lifetime that a response may state: a server's typo must not keep a token for years.
	maxLifetime = 24 * time.Hour

	// defaultLifetime is assumed if a response states none. It is what eTrusted issues.
	defaultLifetime = 5 * time.Minute

	minBackoff = time.Second
	maxBackoff = 30 * time.Second

	// maxRetryAfter limits Retry-After: a server that still says "in an hour" after its outage must not keep every shop down.
	maxRetryAfter = 5 * time.Minute

	// lastAttemptBeforeExpiry is how long before the end of the token there is an attempt, whatever Retry-After says.
	lastAttemptBeforeExpiry = 5 * time.Second

	// maxLeaseDuration is how long a lease lasts, and so how long the others wait for a leader that died. A login server
	// mostly answers within a second.
	maxLeaseDuration = 15 * time.Second

	// maxJitterBetweenBrokers is over how long brokers that share a token spread if they would otherwise act at once.
	maxJitterBetweenBrokers = time.Second

	// headStartOverFailedLeader is how long the other brokers can try before one whose attempt has failed tries again.
	headStartOverFailedLeader = maxJitterBetweenBrokers / 4

	// minFallbackWaitAfterLostLease is how long a broker that lost a race for the lease waits at least before it fetches without
	// it: by then it has seen the winner's lease, unless the store is not to be trusted.
	minFallbackWaitAfterLostLease = 2 * time.Second
)

// refreshDue returns when to refresh a token: at 80 % of its lifetime, plus a random part of spread. random is in [0, 1).
func refreshDue(issued time.Time, lifetime time.Duration, spread lifetimeFraction, random float64) time.Time {
	return issued.Add(time.Duration((0.8 + float64(spread)*random) * float64(lifetime)))
}

// lifetimeFraction is a part of a token's lifetime; negative if it counts backwards.
type lifetimeFraction float64

// The spreads of refreshDue.
const (
	unsharedRefreshSpread lifetimeFraction = -0.1  // of a token that is not shared: replicas that started together drift apart
	leaderRefreshSpread   lifetimeFraction = -0.03 // a store that loses its data makes many leaders, which must drift apart
	// Followers look for the next shared token when it is mostly there. If the leader is gone, the first acquires the lease.
	followerRefreshSpread lifetimeFraction = 0.05
)

// fetchTimeWithoutLease returns when a broker fetches without the lease: at least minWait from now, unless its token ends before. While a
// token is fully valid, that is from 80 to 90 % of its lifetime: later would look like a failed refresh, for which there is an
// alert. random is in [0, 1), and that of the followers' refreshDue, so that brokers that lose the store spread evenly.
func fetchTimeWithoutLease(known *token, now time.Time, minWait time.Duration, random float64) time.Time {
	if !known.fullyValid(now) {
		return now.Add(minWait + time.Duration(random*float64(maxJitterBetweenBrokers)))
	}
	at := time.Duration((0.8 + 0.1*random) * float64(known.lifetime))
	at = min(at, known.lifetime-max(time.Second, known.lifetime/10))
	return later(known.issued.Add(at), now.Add(min(minWait, known.remaining(now)/4)))
}

// capAtQuarterOfRemainingIfValid limits what one broker may take, or believe that another takes, while the known token is fully valid.
func capAtQuarterOfRemainingIfValid(limit time.Duration, known *token, now time.Time) time.Duration {
	if known.fullyValid(now) {
		return min(limit, known.remaining(now)/4)
	}
	return limit
}

// maxPeerLeaseWait returns how long a broker waits at most, from now, for the lease of another, of which the store says how long it lasts. Other
// brokers may not know that the API refuses the token.
func maxPeerLeaseWait(lease Lease, known *token, now time.Time) time.Duration {
	limit := maxLeaseDuration
	switch {
	case lease.Failure != nil && known.isRefused():
		limit = failedLeaderPause(lease, known, now, 1)
	case lease.Failure != nil:
		limit = maxBackoff
	}
	return min(lease.Remaining, capAtQuarterOfRemainingIfValid(limit, known, now))
}

// maxStoreWait limits how long an attempt waits for the store before it sends a token request, for which requests may be waiting.
// random, in [0, 1), spreads brokers that lose the store; fetchTimeWithoutLease has passed by then.
func maxStoreWait(known *token, now time.Time, random float64) time.Duration {
	if known.fullyValid(now) {
		return 2 * time.Second
	}
	return time.Duration((1 + random) / 2 * float64(maxJitterBetweenBrokers))
}

// storePollPause returns the pause before a broker asks the store again whether another's attempt has ended.
func storePollPause() time.Duration {
	return maxJitterBetweenBrokers/2 + jitter(maxJitterBetweenBrokers)
}

// failedLeaderPause returns how long the broker pauses that has failed with a lease, as if requests needed a token. The others try
// headStartOverFailedLeader before. It is at most 30 s, because another broker may have more success.
func failedLeaderPause(failed Lease, known *token, now time.Time, random float64) time.Duration {
	var pause time.Duration
	if isRejection(failed.Failure) { // even if the lease counts none
		pause = pauseAfterRejections(failed.Rejections, 0, true, known.remaining(now))
	} else {
		outage := failureStreak{count: failed.Failures, last: failed.Failure, at: now, random: random}
		pause = outage.pause(true, known, true)
	}
	pause = min(pause, maxBackoff)
	if isRejection(failed.Failure) || failed.Failure.Status == http.StatusTooManyRequests {
		pause += headStartOverFailedLeader // the others must not try before either
	}
	return pause
}

// pauseAfterFailures returns the pause from the end of a failed attempt to the next one, if the credentials do not count as rejected. It
// is at least a second, and exponential with full jitter up to 30 s, except that a token must not expire, and requests must not
// wait, because of it. Retry-After is a lower bound, except that there is always an attempt shortly before the token's end; after
// that only a 429's counts. In the first second after that end, a login server that still sends that token is asked again at
// once: it sends a new one as soon as it, too, counts the old one as expired.
//
// failures counts the consecutive failures, from 1. tokenRemaining is what was left of the token when the attempt ended; it is
// negative once requests have been without a token for that long. tokenNeeded means that requests wait for a token, or have
// failed for lack of one since the attempt before. random is in [0, 1).
func pauseAfterFailures(last *RefreshError, failures int, tokenRemaining time.Duration, tokenNeeded bool, random float64) time.Duration {
	if last.sentAgain && tokenRemaining <= 0 && -tokenRemaining < minBackoff {
		return minRefreshInterval
	}
	ceiling := maxBackoff
	if failures < 5 { // 2^5 s exceeds the ceiling
		ceiling = minBackoff << failures
	}
	pause := minBackoff + time.Duration(random*float64(ceiling-minBackoff))
	atLeast := min(last.RetryAfter, maxRetryAfter)
	switch {
	case tokenRemaining > lastAttemptBeforeExpiry:
		atLeast = min(atLeast, tokenRemaining-lastAttemptBeforeExpiry)
	case last.Status != http.StatusTooManyRequests:
		atLeast = 0
	}
	switch {
	case tokenRemaining > 0:
		pause = min(pause, tokenRemaining/8)
	case tokenNeeded && last.timedOut:
		pause = minBackoff // the attempt itself was a long pause
	case tokenNeeded && -tokenRemaining < 30*time.Second: // requests must not wait for long once the login server has healed
		pause = min(pause, 2*time.Second)
	case tokenNeeded && !last.isRefusal():
		pause = min(pause, 5*time.Second)
	}
	return max(minBackoff, pause, atLeast)
}

// pauseAfterRejections returns the pause after the rejections-th rejection of a pair in a row, sinceFirst being the time since the
// first. Retrying soon rarely helps, and repeated failures can lock an account; but the client may be enabled in the Control Centre
// at any time. An unproven pair has not yielded a token yet: its files may have been written before the login server knew it.
// tokenRemaining is that of pauseAfterFailures: a valid token must not be lost to a login server that rejects for some seconds.
func pauseAfterRejections(rejections int, sinceFirst time.Duration, unproven bool, tokenRemaining time.Duration) time.Duration {
	pause := 5 * time.Minute
	if unproven && sinceFirst < 10*time.Minute {
		pause = min(minBackoff<<max(0, min(rejections-1, 6)), time.Minute) // 2^6 s exceeds the limit
	}
	if tokenRemaining > 0 {
		pause = min(pause, max(5*time.Second, tokenRemaining/8)) // 5 s, because many rejections in a row can lock an account
	}
	if tokenRemaining > lastAttemptBeforeExpiry {
		pause = min(pause, max(minBackoff, tokenRemaining-lastAttemptBeforeExpiry))
	}
	return pause
}

// randomFraction returns a number in [0, 1) for jitter. It need not be cryptographically secure.
func randomFraction() float64 {
	return rand.Float64() //nolint:gosec // G404: jitter only.
}

// jitter returns a random duration less than a maximum.
func jitter(limit time.Duration) time.Duration {
	return time.Duration(randomFraction() * float64(limit))
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
