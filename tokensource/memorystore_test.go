package tokensource_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"etrusted-broker/tokensource"
)

// memoryStore is a tokensource.Store in memory that does what the scripts of package redisstore do, and that can be made to
// misbehave.
type memoryStore struct {
	mu           sync.Mutex
	contents     map[string]*content // by pair
	fault        storeFault
	lag          time.Duration // of each operation
	deaf         bool          // no broker gets notifications
	careful      bool          // after a failure it fails at once for half a minute, as redisstore does
	failedAt     time.Time
	gets, writes int
	longestPause time.Duration
}

// content is what the store has of one pair.
type content struct {
	token    tokensource.SharedToken
	expires  time.Time
	lease    tokensource.Lease // zero: none
	leaseEnd time.Time
	version  int   // of the lease: it grows with each change
	replayed int64 // the fencing token of the lease that replaysLeases shows
	entries  []*memoryEntry
}

// storeFault is what a store does instead of what it should.
type storeFault string

const (
	healthy storeFault = ""
	away    storeFault = "away" // fails at once
	slow    storeFault = "slow" // fails after a second

	// These are invalid replies.
	oddToken       storeFault = "a token with a line end"
	longToken      storeFault = "a token that lives longer than it does"
	noFence        storeFault = "a token without a fencing token"
	expiredToken   storeFault = "an expired token"
	expiringToken  storeFault = "a token that expires in a moment"
	oldToken       storeFault = "the known token, as if it were a new one"
	heldForEver    storeFault = "a lease of no broker, for ever"
	oldLease       storeFault = "an old lease, for ever"
	oldFailure     storeFault = "an old rejection, for ever"
	expiredFailure storeFault = "an old rejection that has expired"
	manyLeases     storeFault = "a new lease each time"
	forgetful      storeFault = "it gives the lease to all"
	swallowsPuts   storeFault = "what is put is not there"
	losesReply     storeFault = "the reply that a broker has the lease does not come"
	replaysLeases  storeFault = "no token, and always the newest lease as if it had just begun"
)

// invalidReplies are the faults of a store that answers in time.
var invalidReplies = []storeFault{
	oddToken, longToken, noFence, expiredToken, expiringToken, oldToken, heldForEver, oldLease, oldFailure, expiredFailure, manyLeases,
	forgetful, swallowsPuts, losesReply, replaysLeases,
}

func newMemoryStore() *memoryStore { return &memoryStore{contents: map[string]*content{}} }

// memoryView is the store as a broker sees it whose clock is ahead by a duration.
type memoryView struct {
	*memoryStore
	ahead time.Duration
}

type memoryEntry struct {
	*memoryStore
	*content
	ahead    time.Duration
	onChange func()
	isOpen   bool
	seen     int   // the version of the lease at the last Get
	fence    int64 // of the last Get
	held     int   // the version of this broker's lease
}

func (s *memoryStore) Entry(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	return memoryView{memoryStore: s}.Entry(pair, endpoint, onChange)
}

func (v memoryView) Entry(pair tokensource.Credentials, _ tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := pair.ID.Reveal() + "/" + pair.Secret.Reveal()
	if v.contents[name] == nil {
		v.contents[name] = &content{}
	}
	entry := &memoryEntry{memoryStore: v.memoryStore, content: v.contents[name], ahead: v.ahead, onChange: onChange, isOpen: true}
	entry.entries = append(entry.entries, entry)
	return entry
}

func (e *memoryEntry) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.isOpen {
		panic("an entry is closed twice")
	}
	e.isOpen = false
	for i, other := range e.entries {
		if other == e {
			e.entries = append(e.entries[:i:i], e.entries[i+1:]...)
			return
		}
	}
}

var errStore = errors.New("the store does not work")

// begin counts an operation, and takes as long as it takes.
func (e *memoryEntry) begin(ctx context.Context, count *int) (storeFault, error) {
	e.mu.Lock()
	*count++
	fault, lag := e.fault, e.lag
	if !e.isOpen {
		panic("a closed entry is used")
	}
	if e.careful && fault == slow {
		if time.Since(e.failedAt) < 30*time.Second {
			fault = away
		} else {
			e.failedAt = time.Now()
		}
	}
	e.mu.Unlock()
	if fault == slow {
		lag = time.Second
	}
	if lag > 0 {
		select {
		case <-time.After(min(lag, time.Second)):
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return fault, ctx.Err()
	case fault == away, fault == slow, lag > time.Second:
		return fault, errStore
	}
	return fault, nil
}

func (e *memoryEntry) Get(ctx context.Context) (tokensource.SharedState, error) {
	fault, err := e.begin(ctx, &e.gets)
	if err != nil {
		return tokensource.SharedState{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.fence = max(now.UnixMicro(), e.token.FencingToken+1)
	e.expireLease(now)
	e.seen = e.version
	shared := tokensource.SharedState{FencingToken: e.fence}
	if left := e.expires.Sub(now); left > 0 {
		stored := e.token
		stored.Remaining = min(stored.Lifetime, stored.Issued.Add(stored.Lifetime).Sub(now.Add(e.ahead)), left)
		shared.Token = stored
	}
	if e.lease != (tokensource.Lease{}) {
		lease := e.lease
		lease.Remaining = e.leaseEnd.Sub(now)
		shared.Lease = lease
	}
	e.falsify(fault, &shared)
	return shared, nil
}

// falsify makes a reply invalid.
func (e *memoryEntry) falsify(fault storeFault, shared *tokensource.SharedState) {
	forged := tokensource.SharedToken{
		AccessToken: tokensource.NewSecret("forged"), FencingToken: e.fence, Issued: time.Now(), Lifetime: 300 * time.Second, Remaining: 300 * time.Second,
	}
	failed := tokensource.Lease{
		FencingToken: 1, Remaining: time.Hour,
		Failure: &tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: "replayed", Advice: "replayed"},
	}
	switch fault {
	case oddToken:
		forged.AccessToken = tokensource.NewSecret("a\r\nb")
		shared.Token = forged
	case longToken:
		forged.Remaining += time.Second
		shared.Token = forged
	case noFence:
		forged.FencingToken = 0
		shared.Token = forged
	case expiredToken:
		forged.Remaining = 0
		shared.Token = forged
	case expiringToken:
		forged.Remaining = time.Nanosecond
		shared.Token = forged
	case oldToken:
		if shared.Token.FencingToken != 0 {
			shared.Token.FencingToken = e.fence
		}
	case heldForEver:
		shared.Lease = tokensource.Lease{}
	case oldLease:
		shared.Lease = tokensource.Lease{FencingToken: 1, Remaining: time.Hour}
	case oldFailure:
		shared.Lease = failed
	case expiredFailure:
		failed.Remaining = 0
		shared.Lease = failed
	case replaysLeases:
		if shared.Token = (tokensource.SharedToken{}); e.replayed != 0 {
			shared.Lease = tokensource.Lease{FencingToken: e.replayed, Remaining: 15 * time.Second}
		}
	case manyLeases:
		shared.Lease = tokensource.Lease{FencingToken: e.fence, Remaining: time.Hour}
	}
}

// cannotAcquire are the faults of a store that gives the lease to no broker.
var cannotAcquire = map[storeFault]bool{heldForEver: true, oldLease: true, oldFailure: true, expiredFailure: true, manyLeases: true}

func (e *memoryEntry) expireLease(now time.Time) {
	if e.lease != (tokensource.Lease{}) && !now.Before(e.leaseEnd) {
		e.setLease(tokensource.Lease{}, now)
	}
}

func (e *memoryEntry) setLease(lease tokensource.Lease, end time.Time) {
	e.version++
	e.lease, e.leaseEnd = lease, end
}

func (e *memoryEntry) Acquire(ctx context.Context, lease tokensource.Lease) (bool, error) {
	fault, err := e.begin(ctx, &e.writes)
	if err != nil {
		return false, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if fault == replaysLeases {
		e.replayed = e.fence
		return true, nil
	}
	e.expireLease(time.Now())
	if cannotAcquire[fault] || e.version != e.seen && fault != forgetful {
		return false, nil
	}
	e.setLease(lease, time.Now().Add(lease.Remaining))
	e.held = e.version
	if fault == losesReply {
		return false, errStore
	}
	return true, nil
}

func (e *memoryEntry) Put(ctx context.Context, token tokensource.SharedToken) error {
	fault, err := e.begin(ctx, &e.writes)
	if err != nil {
		return err
	}
	e.mu.Lock()
	if e.held == e.version {
		e.setLease(tokensource.Lease{}, time.Time{})
	}
	if fault == swallowsPuts || e.token.FencingToken > token.FencingToken {
		e.mu.Unlock()
		return nil
	}
	e.token = token
	e.expires = time.UnixMicro(token.FencingToken).Add(token.Lifetime)
	var others []*memoryEntry
	if !e.deaf {
		others = append(others, e.entries...)
	}
	e.mu.Unlock()
	for _, other := range others {
		other.onChange()
	}
	return nil
}

func (e *memoryEntry) Release(ctx context.Context, outcome tokensource.Lease) error {
	if _, err := e.begin(ctx, &e.writes); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expireLease(time.Now())
	if e.held == e.version {
		e.setLease(outcome, time.Now().Add(outcome.Remaining))
		e.longestPause = max(e.longestPause, outcome.Remaining)
	}
	return nil
}

// set switches a fault on, or all of them off.
func (s *memoryStore) set(fault storeFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *memoryStore) setLag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = lag
}

// lose is a restart of a store that keeps nothing.
func (s *memoryStore) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.contents {
		*c = content{entries: c.entries, version: c.version + 1}
	}
}

func (s *memoryStore) operations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets + s.writes
}

// unclosed is how many entries are open.
func (s *memoryStore) unclosed() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.contents {
		n += len(c.entries)
	}
	return n
}
