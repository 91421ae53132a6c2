package tokensource_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// login is the login server of a fleet: a RoundTripper, so that ten thousand brokers can use it.
type login struct {
	mu       sync.Mutex
	lifetime time.Duration
	delay    time.Duration
	fault    string // one of the constants below; empty: none
	caches   bool   // it sends the same token until that ends, always as if it were new
	pairs    map[string]bool
	requests []time.Time // when it got them
	clients  []string    // and from which
	ends     map[string]time.Time
	last     string // the authorization of the last token
}

// What a login server, or the network path to it, may do.
const (
	isDown       = "503"
	rejects      = "401"
	forbids      = "403"
	hangs        = "no answer"
	disconnected = "no connection" // only of a path
)

func newLogin(lifetime time.Duration) *login {
	return &login{
		lifetime: lifetime, delay: 100 * time.Millisecond, ends: map[string]time.Time{},
		pairs: map[string]bool{fakeetrusted.DefaultClientID + "/" + fakeetrusted.DefaultClientSecret: true},
	}
}

func (l *login) RoundTrip(r *http.Request) (*http.Response, error) { return l.serve(r, "") }

// serve answers a request; fault, if not empty, is that of the network path.
func (l *login) serve(r *http.Request, fault string) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	if fault == "" {
		fault = l.fault
		l.requests = append(l.requests, time.Now())
		l.clients = append(l.clients, form.Get("client_id"))
	}
	delay := l.delay
	l.mu.Unlock()
	if fault == disconnected {
		return nil, fmt.Errorf("%s", fault)
	}
	if fault == hangs {
		delay = time.Hour
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	status, answer := 200, ""
	switch {
	case fault == isDown:
		status = 503
	case fault == forbids:
		status, answer = 403, "<html>"
	case fault == rejects, !l.pairs[form.Get("client_id")+"/"+form.Get("client_secret")]:
		status, answer = 401, `{"error":"invalid_client"}`
	default:
		if !l.caches || time.Now().After(l.ends[l.last]) {
			l.last = fmt.Sprint("Bearer token", len(l.ends))
			l.ends[l.last] = time.Now().Add(l.lifetime)
		}
		answer = fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, l.last[len("Bearer "):], int(l.lifetime.Seconds()))
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func (l *login) set(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *login) setDelay(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

func (l *login) setLifetime(lifetime time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lifetime = lifetime
}

func (l *login) setPair(id, secret string, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairs[id+"/"+secret] = good
}

func (l *login) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

// countOf returns the number of requests with a client ID.
func (l *login) countOf(client string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.clients {
		if id == client {
			n++
		}
	}
	return n
}

// busiest returns the greatest number of requests within a window, from the first-th request on.
func (l *login) busiest(window time.Duration, first int) (most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := first
	for i := first; i < len(l.requests); i++ {
		for l.requests[i].Sub(l.requests[oldest]) >= window {
			oldest++
		}
		most = max(most, i-oldest+1)
	}
	return most
}

// accept makes a token valid that the login server has not issued to these brokers.
func (l *login) accept(authorization string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[authorization] = time.Now().Add(l.lifetime)
}

// alive reports whether the API would accept a token.
func (l *login) alive(authorization string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.ends[authorization])
}

// path is a broker's own network path to the login server.
type path struct {
	*login
	mu        sync.Mutex
	fault     string
	attempted int // all requests, including those that did not reach it
}

func (w *path) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.attempted++
	fault := w.fault
	w.mu.Unlock()
	return w.serve(r, fault)
}

func (w *path) set(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func (w *path) attempts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.attempted
}

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
		value, ok := b.Current()
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
		if _, ok := b.Current(); !ok && !b.stopped {
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
