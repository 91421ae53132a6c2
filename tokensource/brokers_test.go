package tokensource_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// broker is one broker of a fleet.
type broker struct {
	*runner
	path         *path
	stopped      bool
	served       bool // it has had a token
	mayLoseToken bool
	checked      int       // how many events check has seen
	expires      time.Time // of the token, according to these
}

// fleet is a number of brokers with the same credentials, in fake time.
type fleet struct {
	t       *testing.T
	login   *login
	store   *memoryStore // nil: no store
	brokers []*broker
	began   time.Time
	step    time.Duration // between two checks
	lost    int
}

// newFleet makes brokers that do not run yet.
func newFleet(t *testing.T, n int, lifetime time.Duration, store *memoryStore, changes ...func(i int, config *tokensource.Config)) *fleet {
	t.Helper()
	f := &fleet{t: t, login: newLogin(lifetime), store: store, began: time.Now(), step: max(10*time.Millisecond, lifetime/100)}
	for range n {
		f.add(changes...)
	}
	t.Cleanup(f.stop)
	return f
}

func (f *fleet) add(changes ...func(i int, config *tokensource.Config)) *broker {
	b := &broker{path: &path{login: f.login}}
	config := tokensource.Config{
		Credentials: fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret),
		Endpoint:    tokensource.TokenEndpoint{URL: "http://login.example/", Transport: b.path},
	}
	if f.store != nil {
		config.Store = f.store
	}
	for _, change := range changes {
		change(len(f.brokers), &config)
	}
	b.runner = newRunner(f.t, config)
	f.brokers = append(f.brokers, b)
	return b
}

func (b *broker) stop() {
	b.stopped = true
	b.runner.stop()
}

// mayLoseTokens lets all brokers lose their tokens.
func (f *fleet) mayLoseTokens() {
	for _, b := range f.brokers {
		b.mayLoseToken = true
	}
}

// stop ends all brokers at once, and checks that no entry is left open.
func (f *fleet) stop() {
	began := time.Now()
	var all sync.WaitGroup
	for _, b := range f.brokers {
		all.Go(b.stop)
	}
	all.Wait()
	if took := time.Since(began); took > time.Second {
		f.t.Errorf("the fleet took %v to stop", took)
	}
	if f.store != nil && f.store.unclosed() != 0 {
		f.t.Errorf("%d entries were left open", f.store.unclosed())
	}
}

func (f *fleet) start() {
	for _, b := range f.brokers {
		b.start()
	}
	synctest.Wait()
}

// at lets time pass until since after the start, and checks at each step that every broker has a token.
func (f *fleet) at(since time.Duration) {
	f.t.Helper()
	f.start()
	operations, began := 0, time.Now()
	if f.store != nil {
		operations = f.store.operations()
	}
	for time.Since(f.began) < since {
		time.Sleep(min(f.step, since-time.Since(f.began)))
		synctest.Wait()
		f.check()
	}
	if f.store == nil {
		return
	}
	// At most ten store operations a second and broker, whatever happens.
	most := int(10*time.Since(began).Seconds()+20) * len(f.brokers)
	if n := f.store.operations() - operations; n > most {
		f.t.Fatalf("got %d store operations in %v, want at most %d", n, time.Since(began), most)
	}
}

// pass lets time pass.
func (f *fleet) pass(d time.Duration) {
	f.t.Helper()
	f.at(time.Since(f.began) + d)
}

// check checks that no broker has lost its token, or sends an expired one.
func (f *fleet) check() {
	f.t.Helper()
	for i, b := range f.brokers {
		if b.stopped {
			continue
		}
		value, _, ok := b.Current()
		if gap := b.longestGap(); gap > 0 && !b.mayLoseToken {
			f.t.Errorf("at %v: broker %d had no token for %v", time.Since(f.began), i, gap)
		}
		switch {
		case ok && !f.login.alive(value):
			f.t.Fatalf("at %v: broker %d sends %s, which has expired or was never issued", time.Since(f.began), i, value)
		case ok:
			b.served = true
		case b.served && !b.mayLoseToken:
			f.lost++
			if f.lost < 4 {
				s := b.Snapshot()
				f.t.Errorf("at %v: broker %d has no token, which ended at %v; failure %v; next %v", time.Since(f.began), i, s.Expires.Sub(f.began), s.LastFailure, s.NextAttempt.Sub(f.began))
			}
			b.served = false
		}
	}
}

// longestGap returns how long the broker had no token at most before it got one, since the last call.
func (b *broker) longestGap() (longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, event := range b.events[b.checked:] {
		if event.Outcome != tokensource.OutcomeSuccess {
			continue
		}
		if !b.expires.IsZero() {
			longest = max(longest, event.at.Sub(b.expires))
		}
		b.expires = event.at.Add(event.Remaining)
	}
	b.checked = len(b.events)
	return longest
}

// withoutToken counts the brokers that have no token.
func (f *fleet) withoutToken() (n int) {
	for _, b := range f.brokers {
		if _, _, ok := b.Current(); !ok && !b.stopped {
			n++
		}
	}
	return n
}

// peer returns the entry of a broker outside the fleet, which has just got it, and the fencing token for the next lease.
func (f *fleet) peer() (entry tokensource.Entry, fence int64) {
	f.t.Helper()
	pair := tokensource.Credentials{ID: tokensource.NewSecret(fakeetrusted.DefaultClientID), Secret: tokensource.NewSecret(fakeetrusted.DefaultClientSecret)}
	entry = f.store.Entry(pair, tokensource.TokenEndpoint{}, func() {})
	f.t.Cleanup(entry.Close)
	shared, err := entry.Get(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return entry, shared.FencingToken
}

// leaders returns the brokers that hold the lease.
func (f *fleet) leaders() (all []*broker) {
	for _, b := range f.brokers {
		if !b.stopped && b.Snapshot().HoldsLease {
			all = append(all, b)
		}
	}
	return all
}

// fetching returns the brokers with a token request in flight.
func (f *fleet) fetching() (all []*broker) {
	for _, b := range f.brokers {
		if !b.Snapshot().FetchingSince.IsZero() {
			all = append(all, b)
		}
	}
	return all
}

// requestsDuring counts the token requests during an action.
func (f *fleet) requestsDuring(during func()) int {
	f.t.Helper()
	before := f.login.count()
	during()
	return f.login.count() - before
}

// checkCounters checks that each broker counts its own requests, and only those.
func (f *fleet) checkCounters() {
	f.t.Helper()
	for len(f.fetching()) > 0 {
		f.pass(10 * time.Millisecond)
	}
	own, reached := 0, 0
	for i, b := range f.brokers {
		snapshot := b.Snapshot()
		counted := 0
		for _, n := range snapshot.Refreshes {
			counted += int(n)
		}
		reported, fromPeer := 0, 0
		for _, event := range b.events {
			if event.FromPeer {
				fromPeer++
			} else {
				reported++
			}
			if event.FromPeer && event.Duration != 0 {
				f.t.Errorf("broker %d: got an event of another broker with the duration %v, want none", i, event.Duration)
			}
		}
		if attempted, _ := b.path.counts(); counted != attempted || counted != reported {
			f.t.Errorf("broker %d: got %d token requests in the counters and %d in the events, want %d", i, counted, reported, attempted)
		}
		if int(snapshot.StoreHits) > fromPeer {
			f.t.Errorf("broker %d: got %d tokens from the store in the counter, want at most the %d in the events", i, snapshot.StoreHits, fromPeer)
		}
		own += counted
		reached += int(snapshot.Refreshes[0])
	}
	if reached > f.login.count() {
		f.t.Errorf("%d successes of %d requests", reached, f.login.count())
	}
}

// fileFleet is a fleet whose brokers read the same files.
type fileFleet struct {
	*fleet
	credentialFiles
}

func newFileFleet(t *testing.T, n int, lifetime time.Duration, store *memoryStore) *fileFleet {
	t.Helper()
	files := newCredentialFiles(t)
	return &fileFleet{newFleet(t, n, lifetime, store, func(_ int, config *tokensource.Config) { config.Credentials = files.source() }), files}
}

// recheck makes all brokers read the files, one after the other.
func (f *fileFleet) recheck(within time.Duration) {
	for _, i := range rand.Perm(len(f.brokers)) {
		f.brokers[i].ReloadCredentials()
		f.pass(within / time.Duration(len(f.brokers)))
	}
}
