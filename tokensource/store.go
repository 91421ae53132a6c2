package tokensource

import (
	"context"
	"time"
)

// Store shares tokens between brokers with the same credentials, so that one of them fetches for all. If it is down, slow, or
// returns nonsense, each Source fetches its own token. It is safe for concurrent use.
type Store interface {
	// Entry returns the entry of a pair's token from an endpoint. onChange is called, from any goroutine, when another
	// broker may have stored a new token; calls may be missed. Entry does not wait for the store.
	Entry(pair Credentials, endpoint TokenEndpoint, onChange func()) Entry
}

// Entry is what the brokers with one pair share: a token, and the lease that says which of them fetches the next one. Its methods
// except Close wait for the store, for a second at most and until ctx is done; while the store is known to be down, Get fails at
// once. Their errors describe only the store and contain no secret. They are not called concurrently.
type Entry interface {
	// Get returns what is in the store; the zero value after an error.
	Get(ctx context.Context) (SharedState, error)
	// Acquire acquires a lease with the fencing token of the last Get. It replaces the lease that this returned, and reports false
	// if another broker has changed that since. After an error, this broker may have the lease.
	Acquire(ctx context.Context, lease Lease) (bool, error)
	// Put stores a token, unless the stored one has a greater fencing token, and notifies the other brokers. It releases the
	// lease if that is still held.
	Put(ctx context.Context, token SharedToken) error
	// Release replaces the lease, if that is still held, by its failure and the pause in Remaining. The zero value frees the
	// lease at once.
	Release(ctx context.Context, failed Lease) error
	// Close ends the calls of onChange.
	Close()
}

// SharedState is the content of an entry. Only holders of the client secret can create its parts, but an attacker who writes to the
// store can put back older ones.
type SharedState struct {
	Token        SharedToken // zero: none that is valid
	Lease        Lease       // zero: none that is valid
	FencingToken int64       // from the store's clock: greater than that of the token, and of each earlier lease
}

// SharedToken is a token in the store.
type SharedToken struct {
	AccessToken  Secret
	FencingToken int64         // orders tokens: a broker that slept past the end of its lease cannot overwrite a newer one
	Issued       time.Time     // just before the token request was sent, on the wall clock of the broker that sent it
	Lifetime     time.Duration // from Issued
	NotBefore    time.Duration // how long after Issued the API accepts it
	Remaining    time.Duration // by the reader's clock or the store's, whichever is less; Put ignores it
}

// Lease is a broker's right to fetch the token for all, or, after a failure, the pause of all brokers.
type Lease struct {
	FencingToken         int64
	Failure              *RefreshError // why its holder got no token; nil while it is fetching
	Failures, Rejections int           // in a row, of all brokers, as far as its holder has seen them
	Remaining            time.Duration
}
