package tokensource_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// broker is one broker of a fleet.
type broker struct {
	*tokensource.Source
	path         *path
	start        func()
	stop         func()
	stopped      bool
	served       bool // it has had a token
	mayLoseToken bool
	began        time.Time

	mu                  sync.Mutex
	successes, fromPeer int // of the events
	failures            int
	expires             time.Time     // of the token, according to the events
	gap                 time.Duration // time without a token before the last one arrived
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
func newFleet(t *testing.T, n int, lifetime time.Duration, store *memoryStore) *fleet {
	t.Helper()
	return newFleetWith(t, n, lifetime, store, func(int, *tokensource.Config) {})
}

func newFleetWith(t *testing.T, n int, lifetime time.Duration, store *memoryStore, change func(i int, config *tokensource.Config)) *fleet {
	t.Helper()
	f := &fleet{t: t, login: newLogin(lifetime), store: store, began: time.Now(), step: max(10*time.Millisecond, lifetime/100)}
	for i := range n {
		f.add(func(config *tokensource.Config) { change(i, config) })
	}
	t.Cleanup(f.stop)
	return f
}

func (f *fleet) add(change func(config *tokensource.Config)) *broker {
	b := &broker{path: &path{login: f.login}}
	config := tokensource.Config{
		Credentials: fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret),
		Endpoint:    tokensource.TokenEndpoint{URL: "http://login.example/", Transport: b.path},
		OnRefresh:   b.observe,
	}
	if f.store != nil {
		config.Store = f.store
	}
	change(&config)
	var err error
	if b.Source, err = tokensource.New(config); err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	b.start = sync.OnceFunc(func() {
		b.began = time.Now()
		go func() {
			defer close(ended)
			b.Run(ctx)
		}()
	})
	b.stop = func() {
		b.start() // so that it ends
		b.stopped = true
		cancel()
		<-ended
	}
	f.brokers = append(f.brokers, b)
	return b
}

func (b *broker) observe(event tokensource.RefreshEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); event.Outcome == tokensource.OutcomeSuccess {
		if !b.expires.IsZero() {
			b.gap = max(b.gap, now.Sub(b.expires))
		}
		b.expires = now.Add(event.Remaining)
	}
	switch {
	case event.FromPeer:
		b.fromPeer++
		if event.Duration != 0 {
			panic("an event of a peer has a duration")
		}
	case event.Outcome == tokensource.OutcomeSuccess:
		b.successes++
	default:
		b.failures++
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
		b.mu.Lock()
		if b.gap > 0 && !b.mayLoseToken {
			f.t.Errorf("at %v: broker %d had no token for %v", time.Since(f.began), i, b.gap)
		}
		b.gap = 0
		b.mu.Unlock()
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
		b.mu.Lock()
		reported, fromPeer := b.successes+b.failures, b.fromPeer
		b.mu.Unlock()
		if counted != b.path.attempts() || counted != reported {
			f.t.Errorf("broker %d: got %d token requests in the counters and %d in the events, want %d", i, counted, reported, b.path.attempts())
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
