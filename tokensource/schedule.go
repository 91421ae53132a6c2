package tokensource

import "time"

// The numbers of the token's life.
const (
	// clockCheck is how often a sleeping loop looks at the wall clock. Its timer runs on the monotonic clock, which
	// stands still while a machine is suspended: without the look, a laptop would wake with a dead token and sleep
	// on for what was left of the refresh interval.
	clockCheck = 10 * time.Second

	// minRefresh keeps odd answers (a lifetime of a second from a server that takes as long) from turning into a
	// loop without a pause.
	minRefresh = 100 * time.Millisecond

	// maxLifetime bounds what is believed of an answer: a typing error in a server's configuration must not keep a
	// token for years. It also keeps the arithmetic of durations far from its end.
	maxLifetime = 24 * time.Hour

	// defaultLifetime is assumed where an answer tells none: what eTrusted gives.
	defaultLifetime = 5 * time.Minute

	minBackoff = time.Second
	maxBackoff = 30 * time.Second

	// maxRetryAfter bounds how long a login server may send us away: past an outage of its own making, a server
	// that still says "in an hour" should not keep every shop down.
	maxRetryAfter = 5 * time.Minute

	// rejectedRetry is the pause after rejected credentials. They do not heal by themselves, and repeated failures
	// are what locks an account; but somebody may enable the client in the Control Centre at any time.
	rejectedRetry = 5 * time.Minute
)

// refreshDue is the moment at which a token's successor is to be fetched: at 80 % of its lifetime, less a random part
// of up to 10 %, so that replicas that started together drift apart. random is in [0, 1).
func refreshDue(issued time.Time, lifetime time.Duration, random float64) time.Time {
	return issued.Add(time.Duration((0.8 - 0.1*random) * float64(lifetime)))
}

// retryDelay is the pause after a failed attempt: the failures-th in a row, counted from 1. It is exponential with
// full jitter between one second and 30, no less than what the server asked for in Retry-After (up to five minutes),
// and five minutes after a rejection. random is in [0, 1).
func retryDelay(failure *Failure, failures int, random float64) time.Duration {
	if failure.Outcome == Rejected {
		return rejectedRetry
	}
	ceiling := maxBackoff
	if doublings := failures; doublings < 5 { // 2^5 s is past the ceiling
		ceiling = minBackoff << doublings
	}
	backoff := minBackoff + time.Duration(random*float64(ceiling-minBackoff))
	return max(backoff, min(failure.RetryAfter, maxRetryAfter))
}
