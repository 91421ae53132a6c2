package tokensource

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// The timing of token requests.
const (
	// clockCheckInterval is how often a sleeping loop checks the wall clock. Its timer runs on the monotonic clock, which stops
	// while a machine is suspended: without the check, a laptop would wake up with an expired token and sleep on.
	clockCheckInterval = 10 * time.Second

	// minRefreshInterval is between two refreshes, so that odd responses, such as a lifetime of one second, cause no busy loop.
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

	// maxLeaseDuration is how long a lease lasts, and so how long the others wait for a leader that died. Most attempts take 1 s.
	maxLeaseDuration = 15 * time.Second

	// maxJitter is over how long brokers that share a token spread if they would otherwise act at once.
	maxJitter = time.Second

	// followerHeadStart is how long the other brokers can try before one whose attempt has failed tries again.
	followerHeadStart = maxJitter / 4

	// lostLeaseRaceWait is how long a broker that lost a race for the lease waits at least before it fetches without it: by then it
	// has seen the winner's lease, unless the store is not to be trusted.
	lostLeaseRaceWait = 2 * time.Second
)

// refreshDue returns when to refresh a token: at 80 % of its lifetime, plus a random part of spread. random is in [0, 1).
func refreshDue(issued time.Time, lifetime time.Duration, spread, random float64) time.Time {
	return issued.Add(time.Duration((0.8 + spread*random) * float64(lifetime)))
}

// The spreads of refreshDue, as parts of the lifetime.
const (
	ownRefreshSpread    = -0.1  // of a token that is not shared: replicas that started together drift apart
	leaderRefreshSpread = -0.03 // a store that loses its data makes many leaders, which must drift apart
	// Followers look for the next shared token when it is mostly there. If the leader is gone, the first acquires the lease.
	followerRefreshSpread = 0.05
)

// fallbackTime returns when a broker fetches without the lease: at least minWait from now, unless its token ends before. While a
// token is fully valid, that is from 80 to 90 % of its lifetime: later would look like a failed refresh, for which there is an
// alert. random is in [0, 1), and that of the followers' refreshDue, so that brokers that lose the store spread evenly.
func fallbackTime(known *token, now time.Time, minWait time.Duration, random float64) time.Time {
	if !known.fullyValid(now) {
		return now.Add(minWait + time.Duration(random*float64(maxJitter)))
	}
	at := time.Duration((0.8 + 0.1*random) * float64(known.lifetime))
	at = min(at, known.lifetime-max(time.Second, known.lifetime/10))
	return later(known.issued.Add(at), now.Add(min(minWait, known.remaining(now)/4)))
}

// capAtQuarterOfRemaining limits what one broker may take, or believe that another takes, while the known token is fully valid.
func capAtQuarterOfRemaining(limit time.Duration, known *token, now time.Time) time.Duration {
	if known.fullyValid(now) {
		return min(limit, known.remaining(now)/4)
	}
	return limit
}

// leaseWait returns how long a broker waits from now for the lease of another, of which the store says how long it lasts. Other
// brokers may not know that the API refuses the token.
func leaseWait(lease Lease, known *token, now time.Time) time.Duration {
	limit := maxLeaseDuration
	switch {
	case lease.Failure != nil && known.isRefused():
		limit = leaderPause(lease, known, now, 1)
	case lease.Failure != nil:
		limit = maxBackoff
	}
	return min(lease.Remaining, capAtQuarterOfRemaining(limit, known, now))
}

// storeTimeout limits how long an attempt waits for the store before it sends a token request, for which requests may be waiting.
// random, in [0, 1), spreads brokers that lose the store; fallbackTime has passed by then.
func storeTimeout(known *token, now time.Time, random float64) time.Duration {
	if known.fullyValid(now) {
		return 2 * time.Second
	}
	return time.Duration((1 + random) / 2 * float64(maxJitter))
}

// pollPause returns the pause before a broker asks the store again whether another's attempt has ended.
func pollPause() time.Duration { return maxJitter/2 + jitter(maxJitter) }

// leaderPause returns how long the broker pauses that has failed with a lease, as if requests needed a token. The others try
// followerHeadStart before. It is at most 30 s, because another broker may have more success.
func leaderPause(failed Lease, known *token, now time.Time, random float64) time.Duration {
	all := failures{count: failed.Failures, last: failed.Failure, at: now, rejections: failed.Rejections, rejectedSince: now, random: random}
	pause := min(all.pause(true, known, true), maxBackoff)
	if isRejection(failed.Failure) || failed.Failure.Status == http.StatusTooManyRequests {
		pause += followerHeadStart // the others must not try before either
	}
	return pause
}

// nextPause returns the pause from the end of a failed attempt to the next one, if the credentials do not count as rejected. It
// is at least a second, and exponential with full jitter up to 30 s, except that a token must not expire, and requests must not
// wait, because of it. Retry-After is a lower bound, except that there is always an attempt shortly before the token's end; after
// that only a 429's counts. In the first second after that end, a login server that still sends that token is asked again at
// once: it sends a new one as soon as it, too, counts the old one as expired.
//
// failures counts the consecutive failures, from 1. remaining is what was left of the token when the attempt ended; it is
// negative once requests have been without a token for that long. needed means that requests wait for a token, or have
// failed for lack of one since the attempt before. random is in [0, 1).
func nextPause(failure *RefreshError, failures int, remaining time.Duration, needed bool, random float64) time.Duration {
	if failure.sentAgain && remaining <= 0 && -remaining < minBackoff {
		return minRefreshInterval
	}
	ceiling := maxBackoff
	if failures < 5 { // 2^5 s exceeds the ceiling
		ceiling = minBackoff << failures
	}
	pause := minBackoff + time.Duration(random*float64(ceiling-minBackoff))
	atLeast := min(failure.RetryAfter, maxRetryAfter)
	switch {
	case remaining > lastAttemptBeforeExpiry:
		atLeast = min(atLeast, remaining-lastAttemptBeforeExpiry)
	case failure.Status != http.StatusTooManyRequests:
		atLeast = 0
	}
	switch {
	case remaining > 0:
		pause = min(pause, remaining/8)
	case needed && failure.timedOut:
		pause = minBackoff // the attempt itself was a long pause
	case needed && -remaining < 30*time.Second: // requests must not wait for long once the login server has healed
		pause = min(pause, 2*time.Second)
	case needed && (failure.Status < 400 || isTemporary(failure.Status) || isRejection(failure)): // another 4xx rarely heals by itself
		pause = min(pause, 5*time.Second)
	}
	return max(minBackoff, pause, atLeast)
}

// rejectedPause returns the pause after the rejections-th rejection of a pair in a row, since being the time since the
// first. Retrying soon rarely helps, and repeated failures can lock an account; but the client may be enabled in the Control Centre
// at any time. An unproven pair has not yielded a token yet: its files may have been written before the login server knew it.
// remaining is that of nextPause: a valid token must not be lost to a login server that rejects for some seconds.
func rejectedPause(rejections int, since time.Duration, unproven bool, remaining time.Duration) time.Duration {
	pause := 5 * time.Minute
	if unproven && since < 10*time.Minute {
		pause = min(minBackoff<<max(0, min(rejections-1, 6)), time.Minute) // 2^6 s exceeds the limit
	}
	if remaining > 0 {
		pause = min(pause, max(5*time.Second, remaining/8))
	}
	if remaining > lastAttemptBeforeExpiry {
		pause = min(pause, max(minBackoff, remaining-lastAttemptBeforeExpiry))
	}
	return pause
}

// random returns a number in [0, 1) for jitter. It need not be cryptographically secure.
func random() float64 {
	return rand.Float64() //nolint:gosec // G404: jitter only.
}

// jitter returns a random duration less than a maximum.
func jitter(limit time.Duration) time.Duration { return time.Duration(random() * float64(limit)) }

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }
