package tokensource

import (
	"context"
	"errors"
	"time"
)

// state is what the loop has published. It is immutable, but replaced is closed by the next one, and the token can be marked as
// refused.
type state struct {
	Snapshot                // what only the loop changes; the method of Source adds the rest
	token       *token      // nil: there has never been one
	previous    *token      // the one before; nil: there was none
	environment Environment // of the set in use
	rejected    bool        // the credentials cannot be used, so waiting for a token is useless
	waiting     bool        // another broker is fetching, and there is no usable token until then
	stopped     bool
	replaced    chan struct{}
}

// usable returns the token to send; nil if there is no valid one.
func (s *state) usable(now time.Time) *token {
	switch {
	case s.token == nil:
		return nil
	case s.token.isNotYetAccepted(now) && s.previousUsable(now):
		return s.previous
	case s.token.valid(now):
		return s.token
	}
	return nil
}

// previousUsable reports whether the previous token can be used in place of the current one.
func (s *state) previousUsable(now time.Time) bool {
	return s.previous.valid(now) && !s.previous.isRefused()
}

// noTokenError says why there is no token. ctx is that of the waiting request.
func (s *state) noTokenError(ctx context.Context) error {
	p := *ErrNoToken
	switch {
	case s.stopped:
		p = *ErrStopped
	case s.LastFailure != nil:
		if s.rejected {
			p = *ErrCredentialsRejected
			if p.Code = s.LastFailure.Code(); s.LastFailure.Unreadable {
				p.Title = "The credentials cannot be read"
			}
		}
		p.Detail, p.Hint = s.LastFailure.Reason, s.LastFailure.Advice
	}
	p.RetryAfter = max(time.Second, time.Until(s.NextAttempt))
	cause := ctx.Err()
	if s.LastFailure != nil && !s.stopped {
		cause = errors.Join(s.LastFailure, cause)
	}
	return p.WithCause(cause)
}
