package tokensource

import "time"

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

	// maxRetryAfter limits Retry-After: a login server that still says "in an hour" after its outage has ended must not
	// keep every shop down.
	maxRetryAfter = 5 * time.Minute

	// rejectedRetry is the pause after rejected credentials. Retrying sooner rarely helps, and repeated failures can lock
	// an account; but the client may be enabled in the Control Centre at any time.
	rejectedRetry = 5 * time.Minute
)

// refreshDue returns when to refresh a token: at 80 % of its lifetime, less up to 10 % jitter, so that replicas that
// started together drift apart. jitter is in [0, 1).
func refreshDue(issued time.Time, lifetime time.Duration, jitter float64) time.Time {
	return issued.Add(time.Duration((0.8 - 0.1*jitter) * float64(lifetime)))
}

// retryDelay returns the pause after a failed attempt. failures counts the consecutive failures, from 1. The pause is
// exponential with full jitter between 1 s and 30 s, at least Retry-After (up to five minutes), and five minutes after a
// rejection. jitter is in [0, 1).
func retryDelay(failure *RefreshError, failures int, jitter float64) time.Duration {
	if failure.Outcome == OutcomeRejected {
		return rejectedRetry
	}
	ceiling := maxBackoff
	if failures < 5 { // 2^5 s exceeds the ceiling
		ceiling = minBackoff << failures
	}
	backoff := minBackoff + time.Duration(jitter*float64(ceiling-minBackoff))
	return max(backoff, min(failure.RetryAfter, maxRetryAfter))
}
