package tokensource_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"etrusted-broker/tokensource"
)

// memoryStore is a tokensource.Store that does in memory what the scripts of package redisstore do, and that can be made to
// misbehave.
type memoryStore struct {
	mu             sync.Mutex
	entries        map[string]*entry // by pair
	fault          storeFault
	lag            time.Duration // of each operation
	deaf           bool          // no broker gets notifications
	careful        bool          // after a failure it fails at once for half a minute, as redisstore does
	failedAt       time.Time
	opened, closed int
	looks, takes   int
	puts, releases int
	longestPause   time.Duration
}

// entry is what the store has of one pair.
type entry struct {
	token  tokensource.SharedToken
	ends   time.Time
	places []*memoryEntry

	holder     uint64 // the fence of who has the lease; 0 during a pause
	failure    *tokensource.SharedFailure
	leaseUntil time.Time
}

// storeFault is what a store does instead of what it should.
type storeFault string

const (
	healthy storeFault = ""
	away    storeFault = "away" // fails at once
	slow    storeFault = "slow" // fails after a second

	// These make no sense.
	oddToken     storeFault = "a token with a line end"
	longToken    storeFault = "a token that lives longer than it does"
	noFence      storeFault = "a token without a fence"
	deadToken    storeFault = "a token that is dead"
	dyingToken   storeFault = "a token that dies in a moment"
	oldToken     storeFault = "the token had, as if it were a new one"
	heldForEver  storeFault = "another one has the lease, for ever"
	replayed     storeFault = "a rejection that was never"
	replayedMany storeFault = "many rejections that were never"
	atOnce       storeFault = "a failure, and no time to wait"
	forgetful    storeFault = "it gives the lease to all"
	swallowsPuts storeFault = "what is put is not there"
)

// nonsense are the faults of a store that answers in time.
var nonsense = []storeFault{oddToken, longToken, noFence, deadToken, dyingToken, oldToken, heldForEver, replayed, replayedMany, atOnce, forgetful, swallowsPuts}

func newMemoryStore() *memoryStore { return &memoryStore{entries: map[string]*entry{}} }

// memoryView is the store as a broker sees it whose clock is ahead by so much.
type memoryView struct {
	*memoryStore
	ahead time.Duration
}

type memoryEntry struct {
	*memoryStore
	*entry
	ahead    time.Duration
	onChange func()
	isOpen   bool
}

func (s *memoryStore) Entry(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	return memoryView{memoryStore: s}.Entry(pair, endpoint, onChange)
}

func (v memoryView) Entry(pair tokensource.Credentials, _ tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := pair.ID.Reveal() + "/" + pair.Secret.Reveal()
	if v.entries[name] == nil {
		v.entries[name] = &entry{}
	}
	place := &memoryEntry{v.memoryStore, v.entries[name], v.ahead, onChange, true}
	place.places = append(place.places, place)
	v.opened++
	return place
}

func (p *memoryEntry) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isOpen {
		panic("a place is closed twice")
	}
	p.isOpen = false
	p.closed++
	for i, other := range p.places {
		if other == p {
			p.places = append(p.places[:i:i], p.places[i+1:]...)
			return
		}
	}
}

var errStore = errors.New("the store does not work")

// begin counts an operation, and is how long it takes.
func (p *memoryEntry) begin(ctx context.Context, count *int) (storeFault, error) {
	p.mu.Lock()
	*count++
	fault, lag := p.fault, p.lag
	if !p.isOpen {
		panic("a place is used that was closed")
	}
	if p.careful && fault == slow {
		if time.Since(p.failedAt) < 30*time.Second {
			fault = away
		} else {
			p.failedAt = time.Now()
		}
	}
	p.mu.Unlock()
	if fault == slow {
		lag = time.Second
	}
	if lag > 0 {
		select {
		case <-time.After(lag):
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return fault, ctx.Err()
	case fault == away, fault == slow:
		return fault, errStore
	}
	return fault, nil
}

func (p *memoryEntry) Get(ctx context.Context, had tokensource.Known) (*tokensource.SharedToken, error) {
	fault, err := p.begin(ctx, &p.looks)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if taken, ok := p.senseless(fault, had); ok {
		return taken.Token, nil
	}
	return p.better(had), nil
}

func (p *memoryEntry) Acquire(ctx context.Context, had tokensource.Known, lease time.Duration) (tokensource.AcquireResult, error) {
	fault, err := p.begin(ctx, &p.takes)
	if err != nil {
		return tokensource.AcquireResult{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if taken, ok := p.senseless(fault, had); ok {
		return taken, nil
	}
	if token := p.better(had); token != nil {
		return tokensource.AcquireResult{Token: token}, nil
	}
	now := time.Now()
	taken := tokensource.AcquireResult{FencingToken: p.nextFence(now)}
	if left := p.leaseUntil.Sub(now); left > 0 && fault != forgetful {
		taken.Wait, taken.Failure = left, p.failure
		return taken, nil
	}
	taken.Leased = true
	p.holder, p.failure, p.leaseUntil = taken.FencingToken, nil, now.Add(lease)
	return taken, nil
}

func (p *memoryEntry) nextFence(now time.Time) uint64 {
	return max(uint64(now.UnixMicro()), p.token.FencingToken+1)
}

// better is the token that is there, if it is better than the one had. As with the scripts, what it remains by the clock of
// the reader is not compared.
func (p *memoryEntry) better(had tokensource.Known) *tokensource.SharedToken {
	now := time.Now()
	left := p.ends.Sub(now)
	if p.token.FencingToken == 0 || p.token.FencingToken <= had.FencingToken || left <= had.Remaining {
		return nil
	}
	token := p.token
	token.Remaining = min(token.Lifetime, token.Issued.Add(token.Lifetime).Sub(now.Add(p.ahead)), left)
	return &token
}

func (p *memoryEntry) senseless(fault storeFault, had tokensource.Known) (tokensource.AcquireResult, bool) {
	now := time.Now()
	token := &tokensource.SharedToken{
		AccessToken: tokensource.NewSecret("forged"), FencingToken: had.FencingToken + 1, Issued: now, Lifetime: 300 * time.Second, Remaining: 300 * time.Second,
	}
	switch fault {
	case oddToken:
		token.AccessToken = tokensource.NewSecret("a\r\nb")
	case longToken:
		token.Remaining += time.Second
	case noFence:
		token.FencingToken = 0
	case deadToken:
		token.Remaining = 0
	case dyingToken:
		if p.token.FencingToken == 0 {
			return tokensource.AcquireResult{}, false
		}
		token.AccessToken, token.Remaining = p.token.AccessToken, time.Nanosecond
	case oldToken:
		left := p.ends.Sub(now)
		if p.token.FencingToken == 0 || left <= 0 {
			return tokensource.AcquireResult{}, false
		}
		token.AccessToken, token.Lifetime, token.Remaining = p.token.AccessToken, p.token.Lifetime, left
	case heldForEver:
		return tokensource.AcquireResult{FencingToken: p.nextFence(now), Wait: time.Hour}, true
	case replayed, replayedMany, atOnce:
		taken := tokensource.AcquireResult{FencingToken: p.nextFence(now), Wait: time.Hour, Failure: &tokensource.SharedFailure{
			RefreshError: tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: "replayed", Advice: "replayed"}, Failures: 2,
		}}
		if fault == replayedMany {
			taken.Failure.Failures = 7
		}
		if fault == atOnce {
			taken.Wait, taken.Failure.Outcome = 0, tokensource.OutcomeUnavailable
		}
		return taken, true
	default:
		return tokensource.AcquireResult{}, false
	}
	return tokensource.AcquireResult{Token: token}, true
}

func (p *memoryEntry) Put(ctx context.Context, token tokensource.SharedToken) error {
	fault, err := p.begin(ctx, &p.puts)
	if err != nil || fault == swallowsPuts {
		return err
	}
	p.mu.Lock()
	if p.token.FencingToken > token.FencingToken {
		p.mu.Unlock()
		return nil
	}
	p.token = token
	p.ends = time.UnixMicro(int64(token.FencingToken)).Add(token.Lifetime)
	if p.holder == token.FencingToken {
		p.holder, p.leaseUntil = 0, time.Time{}
	}
	var others []*memoryEntry
	if !p.deaf {
		others = append(others, p.places...)
	}
	p.mu.Unlock()
	for _, other := range others {
		other.onChange()
	}
	return nil
}

func (p *memoryEntry) Release(ctx context.Context, fence uint64, failure *tokensource.SharedFailure, pause time.Duration) error {
	if _, err := p.begin(ctx, &p.releases); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holder != fence || fence == 0 || !p.leaseUntil.After(time.Now()) {
		return nil
	}
	p.holder, p.leaseUntil, p.failure = 0, time.Time{}, nil
	if failure != nil {
		p.leaseUntil, p.failure = time.Now().Add(pause), failure
		p.longestPause = max(p.longestPause, pause)
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

func (s *memoryStore) setDeaf(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

// lose is a restart of a store that keeps nothing.
func (s *memoryStore) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range s.entries {
		*entry = tokenless(entry.places)
	}
}

func tokenless(places []*memoryEntry) entry { return entry{places: places} }

// tellAll notifies all entries, without a change.
func (s *memoryStore) tellAll() {
	s.mu.Lock()
	var all []*memoryEntry
	for _, entry := range s.entries {
		all = append(all, entry.places...)
	}
	s.mu.Unlock()
	for _, place := range all {
		place.onChange()
	}
}

func (s *memoryStore) operations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks + s.takes + s.puts + s.releases
}

func (s *memoryStore) lookCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// unclosed is how many places are open.
func (s *memoryStore) unclosed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened - s.closed
}

// leased reports whether a broker has a lease of any entry.
func (s *memoryStore) leased() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range s.entries {
		if entry.holder != 0 && entry.leaseUntil.After(time.Now()) {
			return true
		}
	}
	return false
}

func (s *memoryStore) longest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.longestPause
}
