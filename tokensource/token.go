package tokensource

import (
	"sync/atomic"
	"time"
)

// token is an access token (RFC 6749 section 1.4) and the time that it lives. Nothing of it changes once it is published
// but whether it was refused.
type token struct {
	// authorization is the whole value of the Authorization header (RFC 6750 section 2.1), put together once and
	// not for each request.
	authorization string
	// issued is the moment before the request for it was sent: the server counts the lifetime from some moment
	// after that, so the token is never taken for valid longer than it is. It carries a monotonic reading.
	issued   time.Time
	received time.Time
	lifetime time.Duration
	// refused means that the API has refused it before its time, so that another is to be fetched at once. See
	// Source.Invalidate.
	refused atomic.Bool
	// fence is that of a shared token (see SharedToken); 0: it is not shared.
	fence uint64
	// leads means that this broker has fetched it by a lease.
	leads bool
	// due is when its successor is to be asked for, which depends on who fetched it.
	due func(issued time.Time, lifetime time.Duration, random float64) time.Time
}

// minTokenAge is how old a token must be before a 401 of the API counts against it. An API that refuses every token
// would otherwise have the login server asked for one with each request.
const minTokenAge = 10 * time.Second

// valid reports whether the token may still be sent. A nil token is not.
func (t *token) valid(now time.Time) bool {
	return t != nil && t.remaining(now) > 0
}

// remaining is how long the token still lives: zero or negative once it is dead.
func (t *token) remaining(now time.Time) time.Duration {
	monotonic, wall := elapsed(t.issued, now)
	return remaining(t.lifetime, monotonic, wall)
}

// expires is the moment of expiry on the wall clock.
func (t *token) expires() time.Time {
	return t.issued.Round(0).Add(t.lifetime)
}

// elapsed tells the time since then on both clocks. Round(0) is how package time spells "without the monotonic
// reading".
func elapsed(then, now time.Time) (monotonic, wall time.Duration) {
	return now.Sub(then), now.Round(0).Sub(then.Round(0))
}

// remaining is what is left of a lifetime of which so much has gone by on two clocks. The faster one counts: the
// monotonic clock stands still while a machine is suspended, and the wall clock can be set back. So a suspended
// laptop does not send a dead token, and a clock that jumps back does not keep one alive.
func remaining(lifetime, monotonic, wall time.Duration) time.Duration {
	return lifetime - max(monotonic, wall)
}
