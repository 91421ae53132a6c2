package tokensource

import (
	"math"
	"net/http"
	"time"
)

// The timing of token requests.
const (
	// clockCheckInterval is how often a sleeping loop checks the wall clock. Its timer runs on the monotonic clock, which
	// stops while a machine is suspended: without the check, a laptop would wake up with an expired token and sleep for
	// the rest of the refresh interval.
	clockCheckInterval = 10 * time.Second

	// minRefresh is the minimum time between two refreshes, so that odd responses (a lifetime of one second from a server
	// that takes as long) do not cause a busy loop.
	minRefresh = 100 * time.Millisecond

	// maxLifetime limits the lifetime that a response may state: a typo in a server's configuration must not keep a token
	// for years. It also keeps duration arithmetic far from overflow.
	maxLifetime = 24 * time.Hour

	// defaultLifetime is assumed if a response states none. It is what eTrusted issues.
	defaultLifetime = 5 * time.Minute

	minBackoff = time.Second
	maxBackoff = 30 * time.Second

	// maxNeededPause limits the backoff once the token has expired and requests need one; maxLongNeededPause replaces it
	// after longOutage. So requests wait no longer than that once the login server has healed.
	maxNeededPause     = 2 * time.Second
	maxLongNeededPause = 5 * time.Second
	longOutage         = 30 * time.Second

	// maxRetryAfter limits Retry-After: a login server that still says "in an hour" after its outage has ended must not
	// keep every shop down.
	maxRetryAfter = 5 * time.Minute

	// lastAttempt is how long before the token's end there is an attempt, whatever Retry-After says.
	lastAttempt = 5 * time.Second

	// rejectedRetry is the pause after rejected credentials. Retrying sooner rarely helps, and repeated failures can lock
	// an account; but the client may be enabled in the Control Centre at any time.
	rejectedRetry = 5 * time.Minute

	// For changedRetryTime, a changed pair that is rejected is retried after at most maxChangedPause: its files may have
	// been written before the login server knew it.
	changedRetryTime = 10 * time.Minute
	maxChangedPause  = time.Minute
)

// refreshDue returns when to refresh a token: at 80 % of its lifetime, less up to 10 % jitter, so that replicas that
// started together drift apart. jitter is in [0, 1).
func refreshDue(issued time.Time, lifetime time.Duration, jitter float64) time.Time {
	return issued.Add(time.Duration((0.8 - 0.1*jitter) * float64(lifetime)))
}

// leaderRefreshAt is when the broker that has fetched a shared token fetches the next one: at 80 % of its lifetime, less a
// random part of up to 3 %. It is mostly the only one; but a store that forgets makes many of them at once, who are to
// drift apart. random is in [0, 1).
func leaderRefreshAt(issued time.Time, lifetime time.Duration, random float64) time.Time {
	return issued.Add(time.Duration((0.8 - 0.03*random) * float64(lifetime)))
}

// followerRefreshAt is when a broker that has taken a token from the store looks for the next one: a little after leaderRefreshAt, when
// it is mostly there. Where it is not, because the broker that should have fetched it is gone, one of those who look
// first gets the lease. random is in [0, 1).
func followerRefreshAt(issued time.Time, lifetime time.Duration, random float64) time.Time {
	return issued.Add(time.Duration((0.82 + 0.05*random) * float64(lifetime)))
}

// standAlone is when a broker fetches by itself although the store says that another is at it: from 90 to 95 % of the
// lifetime of the token that it has, so that it is not lost; later, the other one gets a moment yet, since it may have
// begun just now.
//
// A broker that has none waits for maxLeaseWait, less a part of crowd. The square root makes the early moments rare: if the
// holder of the lease has died, a few brokers of a large fleet fetch before the others learn of the token. If the store
// claims a lease for ever, all of them fetch, but not at once. failures counts the failed attempts in a row.
func standAlone(had *token, now time.Time, failures int, random float64) time.Time {
	if had.serves(now) {
		due := had.issued.Add(time.Duration((0.9 + 0.05*random) * float64(had.lifetime)))
		return later(due, now.Add(min(crowd, had.remaining(now)/4)))
	}
	if failures > 0 {
		return now.Add(maxLeaseWaitInOutage + time.Duration(random*float64(maxLeaseWaitInOutage)/4))
	}
	return now.Add(maxLeaseWait - crowd + time.Duration(math.Sqrt(random)*float64(crowd)))
}

// spreadAlone is when a broker fetches by itself because the store is away: all that share it find that out at about
// the same time, so they spread over what is left until a tenth of the lifetime, and a second at the least, since the
// login server then has much to do. Less would look like a refresh that has failed, and there is an alert for that. One
// that has no token must not wait long.
func spreadAlone(had *token, now time.Time, random float64) time.Time {
	window := crowd
	if had.serves(now) {
		spare := max(time.Second, had.lifetime/10)
		window = max(0, had.issued.Add(had.lifetime-spare).Sub(now))
	}
	return now.Add(time.Duration(random * float64(window)))
}

// turnPause returns how long the brokers that share a token pause after the failures-th failure in a row. It is nextPause,
// but at most 30 seconds and an eighth of the remaining lifetime of the token had, so that several brokers can try before it
// expires. A rejection begins with an equally short pause: its cause may be that broker's own network path. random is in
// [0, 1).
func turnPause(failure *RefreshError, failures int, had *token, now time.Time, random float64) time.Duration {
	if failure.Outcome == OutcomeRejected {
		random = 1 // it does not heal by itself
	}
	remaining := time.Duration(0)
	if had.serves(now) {
		remaining = had.remaining(now)
	}
	return min(max(nextPause(failure, failures, remaining, false, random), failure.RetryAfter), maxBackoff)
}

// nextPause returns the pause from the end of a failed attempt to the next one, if the credentials do not count as
// rejected. It is at least a second, and exponential with full jitter up to 30 s, except that a token must not expire, and
// requests must not wait, because of it. Retry-After is a lower bound, except that there is always an attempt shortly
// before the token's end; after that only a 429's counts.
//
// failures counts the consecutive failures, from 1. remaining is what was left of the token when the attempt ended; it is
// negative once requests have been without a token for that long. needed means that requests wait for a token, or have
// failed for lack of one since the attempt began. random is in [0, 1).
func nextPause(failure *RefreshError, failures int, remaining time.Duration, needed bool, random float64) time.Duration {
	ceiling := maxBackoff
	if failures < 5 { // 2^5 s exceeds the ceiling
		ceiling = minBackoff << failures
	}
	pause := minBackoff + time.Duration(random*float64(ceiling-minBackoff))
	atLeast := min(failure.RetryAfter, maxRetryAfter)
	limited := failure.Status == http.StatusTooManyRequests
	switch {
	case remaining > lastAttempt:
		atLeast = min(atLeast, remaining-lastAttempt)
	case remaining > 0 && !limited:
		atLeast = min(atLeast, remaining)
	case !limited:
		atLeast = 0
	}
	switch {
	case remaining > 0:
		pause = min(pause, remaining/8)
	case needed && -remaining < longOutage:
		pause = min(pause, maxNeededPause)
	case needed && !failure.isRefusal():
		pause = min(pause, maxLongNeededPause)
	}
	return max(minBackoff, pause, atLeast)
}

// rejectedPause returns the pause after the rejections-th rejection of a pair in a row, since being the time since the
// first. A changed pair has not yielded a token yet.
func rejectedPause(rejections int, since time.Duration, changed bool) time.Duration {
	if !changed || since >= changedRetryTime {
		return rejectedRetry
	}
	return min(minBackoff<<min(rejections-1, 6), maxChangedPause) // 2^6 s exceeds the limit
}
