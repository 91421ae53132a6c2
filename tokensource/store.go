package tokensource

import (
	"context"
	"errors"
	"time"
)

// Store is where brokers that hold the same credentials share one token, so that one of them fetches it for all. It is a
// help and never a need: a Source for which it is away, slow, or makes no sense fetches by itself, as if there were none.
// Its methods may be called from any goroutine.
type Store interface {
	// Open returns the place where the token of a pair is shared, as it is asked for at an endpoint. told is called, from
	// any goroutine, when another broker may have put a new token there; it must not be counted on. Open does not wait
	// for the store.
	Entry(pair Credentials, endpoint TokenEndpoint, told func()) Entry
}

// Place is where the token of one pair is shared. Its methods but Close wait for the store, for no longer than some
// seconds and until ctx is done. A store that has just failed is not waited for again: for a while they fail at once, since
// hundreds of accounts ask one after the other. Their errors tell of the store alone, and hold no secret. They are not called
// at the same time.
type Entry interface {
	// Look returns the token that is there if it is better than the one had, and nil if it is not.
	Get(ctx context.Context, had Known) (*SharedToken, error)
	// Take does as Look, and if there is none that is better, tries to get the lease: the right to fetch one for all, for
	// no longer than so long.
	Acquire(ctx context.Context, had Known, lease time.Duration) (AcquireResult, error)
	// Put leaves a token for the others, tells them, and gives the lease back, if it is still held. Where a newer one is
	// there, nothing happens: it was fetched by a lease that had come to its end.
	Put(ctx context.Context, token SharedToken) error
	// Release gives the lease back without a token. If there is a failure, nobody gets the lease for so long.
	Release(ctx context.Context, fence uint64, failure *SharedFailure, pause time.Duration) error
	// Close ends the calls of told.
	Close()
}

// Had is the token that a broker has: what is to be better is newer and lives longer. The zero value is none.
type Known struct {
	FencingToken uint64
	Remaining    time.Duration
}

// SharedToken is a token as brokers leave it for each other.
type SharedToken struct {
	AccessToken Secret
	// Fence says which of two tokens is newer: the store gives a greater one to each who is to fetch. A holder of the
	// lease that slept through its end cannot put an old token over a new one.
	FencingToken uint64
	// Issued is the moment before the request for it was sent, on the wall clock of the broker that did.
	Issued   time.Time
	Lifetime time.Duration // from Issued
	// Remaining is how long it still lives, on the clock of whoever reads it or of the store, whichever says less. It has
	// no meaning for Put.
	Remaining time.Duration
}

// isUsable reports whether it is what a broker may have left: only those who have the client secret can have done so, and
// yet it goes into requests as it is.
func (t *SharedToken) isUsable() bool {
	return isB64Token(t.AccessToken.Reveal()) && t.FencingToken != 0 &&
		t.Remaining > 0 && t.Remaining <= t.Lifetime && t.Lifetime <= maxLifetime
}

// errUnusable is the error of a store whose token is none.
var errUnusable = errors.New("the token in the store is none")

// SharedFailure is why the broker that held the lease got no token.
type SharedFailure struct {
	RefreshError
	// Failures counts how often that happened in a row, whoever it was that tried.
	Failures int
}

// Taken is what Take got.
type AcquireResult struct {
	// Token is better than the one had. All else is zero then.
	Token *SharedToken
	// Fence belongs to what is fetched now.
	FencingToken uint64
	// Leased means that this broker is to fetch, and to call Put or Release then.
	Leased bool
	// Wait is for how long the lease is another's, if it is not Leased.
	Wait time.Duration
	// Failure is why the other got no token; nil while it is at it.
	Failure *SharedFailure
}
