package tokensource

import (
	"net/url"
	"sync/atomic"
	"time"
)

// token is an access token (RFC 6749 section 1.4). Once published, it is immutable except for notAcceptedFor and refusedAt.
type token struct {
	authorization string   // the value of the Authorization header (RFC 6750 section 2.1), built once and not for each request
	api           *url.URL // the base URL of the only API that it may be sent to; nil: the broker's
	// issued is the time just before the token request was sent. The server counts the lifetime from a later moment, so
	// the token is never considered valid for too long. It has a monotonic reading.
	issued     time.Time
	received   time.Time
	lifetime   time.Duration
	wallExpiry time.Time // when it expires by the wall clock; zero: unknown. The monotonic clock decides, but stops during a suspend
	// notAcceptedFor is how long after received, as a time.Duration, the previous token is used instead, because the API does
	// not accept this one yet: its nbf claim says so, or the API does not know it everywhere.
	notAcceptedFor atomic.Int64
	refusedAt      atomic.Pointer[time.Time] // when the API refused it before its expiry; nil: it did not. See Source.Invalidate
	fence          int64                     // the fencing token of a shared token; 0: it is not shared
	leads          bool                      // this broker fetched it with the lease
	refreshAt      time.Time                 // when the next token is requested
}

// minAgeToReplaceRefusedToken is how old a token must be before a 401 of the API replaces it: an API that refuses every token must
// not cause a token request for each API request.
const minAgeToReplaceRefusedToken = 10 * time.Second

// valid reports whether the token has not expired by the monotonic clock. A nil token is not valid.
func (t *token) valid(now time.Time) bool {
	return t != nil && t.remaining(now) > 0
}

// fullyValid reports whether there is no need to replace the token at once. One that has expired only by the wall clock is not
// fully valid, but is valid: either the clock was set, and the token is as good as before; or the machine was suspended, and the
// first 401 replaces it.
func (t *token) fullyValid(now time.Time) bool {
	return t.valid(now) && !t.isRefused() && !t.expiredByWallClock(now)
}

// isRefused reports whether the API has refused the token. A nil token is not refused.
func (t *token) isRefused() bool { return t != nil && t.refusedAt.Load() != nil }

// refuse records that the API refuses the token. It reports false if that is known.
func (t *token) refuse(now time.Time) bool { return t.refusedAt.CompareAndSwap(nil, &now) }

func (t *token) expiredByWallClock(now time.Time) bool {
	return !t.wallExpiry.IsZero() && !now.Round(0).Before(t.wallExpiry)
}

// has reports whether the token has this header value. A nil token has none.
func (t *token) has(authorization string) bool { return t != nil && t.authorization == authorization }

// isNotYetAccepted reports whether the API may not accept the token yet.
func (t *token) isNotYetAccepted(now time.Time) bool {
	return now.Sub(t.received) < time.Duration(t.notAcceptedFor.Load())
}

// isJustReceived reports whether the token is younger than minAgeToReplaceRefusedToken. One that was received just before
// a suspend is not.
func (t *token) isJustReceived(now time.Time) bool {
	return now.Sub(t.received) < minAgeToReplaceRefusedToken && !t.expiredByWallClock(now)
}

// remaining returns how long the token is still valid: zero or negative once it has expired.
func (t *token) remaining(now time.Time) time.Duration {
	return t.lifetime - now.Sub(t.issued)
}

// usableFor returns what remains until the token expires or, if that was earlier, the API refused it; negative afterwards.
func (t *token) usableFor(now time.Time) time.Duration {
	if refusedAt := t.refusedAt.Load(); refusedAt != nil {
		return min(refusedAt.Sub(now), t.remaining(now))
	}
	return t.remaining(now)
}

// expires returns the wall clock time of expiry.
func (t *token) expires() time.Time {
	return t.issued.Round(0).Add(t.lifetime)
}

// capAtKnownExpiry shortens the lifetime of a token that the login server has sent before, from a cache. It reports whether the
// token is one of the known ones, which may be nil.
func (t *token) capAtKnownExpiry(known ...*token) (isKnown bool) {
	for _, k := range known {
		if k.has(t.authorization) {
			t.lifetime, isKnown = min(t.lifetime, k.remaining(t.issued)), true
		}
	}
	return isKnown
}

// isSupersededBy reports whether a token from the store may take its place: a newer one that lives longer, or the same one if the
// login server has sent it again.
func (t *token) isSupersededBy(fresh *token, now time.Time) bool {
	switch {
	case fresh == nil, fresh.fence <= 0, fresh.remaining(now) <= minRefreshInterval: // one that ends at once would have the store asked in a loop
		return false
	case t.has(fresh.authorization):
		return fresh.fence > t.fence && now.Before(refreshDue(fresh.issued, fresh.lifetime, followerRefreshSpread, 0))
	}
	return fresh.fence > t.fence && (!t.fullyValid(now) || fresh.remaining(now) > t.remaining(now))
}

// shared returns the token as it is stored.
func (t *token) shared() SharedToken {
	accessToken := NewSecret(t.authorization[len("Bearer "):])
	notBefore := t.received.Sub(t.issued) + time.Duration(t.notAcceptedFor.Load())
	return SharedToken{AccessToken: accessToken, FencingToken: t.fence, Issued: t.issued.Round(0), Lifetime: t.lifetime, NotBefore: notBefore}
}

// token returns a token of the store as a broker uses it; nil without one, or if it could change the requests that it goes into.
func (s SharedToken) token(now time.Time) *token {
	if !isB64Token(s.AccessToken.Reveal()) || s.Remaining > s.Lifetime || s.Lifetime > maxLifetime {
		return nil
	}
	issued := now.Add(s.Remaining - s.Lifetime)
	t := &token{authorization: "Bearer " + s.AccessToken.Reveal(), issued: issued, received: issued, lifetime: s.Lifetime, fence: s.FencingToken}
	t.notAcceptedFor.Store(int64(s.NotBefore))
	return t
}
