package tokensource

import (
	"context"
	"time"
)

// Store shares tokens between brokers that have the same credentials, so that one of them fetches for all. The store is
// optional at run time: if it is unreachable, slow, or returns nonsense, each Source fetches its own token. Its methods are
// safe for concurrent use.
type Store interface {
	// Entry returns the entry of a pair's token from an endpoint. onChange is called, from any goroutine, when another
	// broker may have stored a new token; calls may be missed. Entry does not wait for the store.
	Entry(pair Credentials, endpoint TokenEndpoint, onChange func()) Entry
}

// Entry is what the brokers with one pair share: a token, and the lease that says which of them fetches the next one. Its
// methods except Close wait for the store, for a second at most and until ctx is done; while the store is known to be down,
// they fail at once. Their errors describe only the store and contain no secret. They are not called concurrently.
type Entry interface {
	// Get returns what is in the store.
	Get(ctx context.Context) (Shared, error)
	// Acquire acquires the lease for at most ttl, with the fencing token of the last Get. It reports false if the lease
	// has changed since: then another broker has it.
	Acquire(ctx context.Context, ttl time.Duration) (bool, error)
	// Put stores a token, unless the stored one has a greater fencing token, and notifies the other brokers. It releases
	// the lease if it is still held.
	Put(ctx context.Context, token SharedToken) error
	// Release releases the lease, if it is still held, and records why there is no token. No broker acquires it
	// before lease.Remaining has passed. With the zero value it is free at once.
	Release(ctx context.Context, outcome Lease) error
	// Close ends the calls of onChange.
	Close()
}

// Shared is the content of an entry. Only holders of the client secret can create its parts, but an attacker who writes to
// the store can replace them with older ones.
type Shared struct {
	Token *SharedToken // nil: none that can be decrypted
	Lease *Lease       // nil: none that can be decrypted
	// FencingToken is greater than that of the token, and of each earlier lease. It comes from the store's clock.
	FencingToken uint64
}

// SharedToken is a token in the store.
type SharedToken struct {
	AccessToken Secret
	// FencingToken orders tokens: a broker that slept past the end of its lease cannot overwrite a newer token.
	FencingToken uint64
	// Issued is just before the token request was sent, on the wall clock of the broker that sent it.
	Issued   time.Time
	Lifetime time.Duration // from Issued
	// Remaining is how long it is still valid, by the reader's clock or the store's, whichever is less. Put ignores it.
	Remaining time.Duration
}

// isUsable reports whether the token is well-formed, because it goes into requests unchanged.
func (t *SharedToken) isUsable() bool {
	return isB64Token(t.AccessToken.Reveal()) && t.FencingToken != 0 &&
		t.Remaining > 0 && t.Remaining <= t.Lifetime && t.Lifetime <= maxLifetime
}

// Lease is a broker's right to fetch the token for all, or, after a failure, the pause of all brokers.
type Lease struct {
	FencingToken uint64
	// Failure says why its holder got no token; nil while it is fetching.
	Failure *RefreshError
	// Failures counts the consecutive failures of all brokers.
	Failures  int
	Remaining time.Duration
}
