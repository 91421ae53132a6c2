package tokensource

import (
	"context"
	"errors"
	"time"
)

// Store shares one token between brokers that have the same credentials, so that one of them fetches it for all. The
// store is optional at run time: if it is unreachable, slow, or returns nonsense, a Source fetches its own token. Its
// methods are safe for concurrent use.
type Store interface {
	// Entry returns the entry of a pair's token from an endpoint. onChange is called, from any goroutine, when another
	// broker may have stored a new token; calls may be missed. Entry does not wait for the store.
	Entry(pair Credentials, endpoint TokenEndpoint, onChange func()) Entry
}

// Entry is the shared token of one pair. Its methods except Close wait for the store, for a few seconds at most and until
// ctx is done. After a failure they fail at once for a while, because hundreds of accounts call them one after the other.
// Their errors describe only the store and contain no secret. They are not called concurrently.
type Entry interface {
	// Get returns the stored token if it is better than the known one, otherwise nil.
	Get(ctx context.Context, known Known) (*SharedToken, error)
	// Acquire does the same as Get and, if there is no better token, tries to acquire the lease: the right to fetch on
	// behalf of all brokers, for at most that duration.
	Acquire(ctx context.Context, known Known, lease time.Duration) (AcquireResult, error)
	// Put stores a token, notifies the other brokers, and releases the lease if it is still held. It does nothing if the
	// stored token is newer, because then the lease had expired.
	Put(ctx context.Context, token SharedToken) error
	// Release releases the lease without a token. If failure is not nil, no broker gets the lease for pause.
	Release(ctx context.Context, fence uint64, failure *SharedFailure, pause time.Duration) error
	// Close ends the calls of onChange.
	Close()
}

// Known identifies the token that a broker has. A better token has a greater fencing token and a longer remaining
// lifetime. The zero value means no token.
type Known struct {
	FencingToken uint64
	Remaining    time.Duration
}

// SharedToken is a token in the store.
type SharedToken struct {
	AccessToken Secret
	// FencingToken orders tokens: the store issues a greater one with each lease. So a broker that slept past the end of
	// its lease cannot overwrite a newer token.
	FencingToken uint64
	// Issued is just before the token request was sent, on the wall clock of the broker that sent it.
	Issued   time.Time
	Lifetime time.Duration // from Issued
	// Remaining is how long it is still valid, by the reader's clock or the store's, whichever is less. Put ignores it.
	Remaining time.Duration
}

// isUsable reports whether the token is well-formed. Only holders of the client secret can store one, but it goes into
// requests unchanged.
func (t *SharedToken) isUsable() bool {
	return isB64Token(t.AccessToken.Reveal()) && t.FencingToken != 0 &&
		t.Remaining > 0 && t.Remaining <= t.Lifetime && t.Lifetime <= maxLifetime
}

// errUnusable reports a malformed token in the store.
var errUnusable = errors.New("the token in the store is malformed")

// SharedFailure says why the broker with the lease got no token.
type SharedFailure struct {
	RefreshError
	// Failures counts the consecutive failures of all brokers.
	Failures int
}

// AcquireResult is the result of Acquire.
type AcquireResult struct {
	// Token is better than the known one. The other fields are zero then.
	Token *SharedToken
	// FencingToken is for a token that is fetched now.
	FencingToken uint64
	// Leased means that this broker has the lease: it must fetch, and then call Put or Release.
	Leased bool
	// Wait is how long another broker has the lease, if Leased is false.
	Wait time.Duration
	// Failure is why that broker got no token; nil while it is fetching.
	Failure *SharedFailure
}
