package redisstore_test

import (
	"context"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
)

func TestLeaderStoresTokenForAll(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := newBroker(t, s.url), newBroker(t, s.url)
	var notified atomic.Int32
	leader := a.entry()
	follower := b.Entry(credentials(clientID, clientSecret), endpoint, func() { notified.Add(1) })
	brokertest.Eventually(t, "the follower listens", func() bool { return notified.Load() > 0 })
	before := notified.Load()

	fence := lead(t, leader, time.Minute)
	shared := get(t, follower)
	if lease := shared.Lease; shared.Token.FencingToken != 0 || shared.FencingToken <= fence || lease.FencingToken != fence ||
		lease.Failure != nil || lease.Failures != 2 || lease.Remaining <= 0 || lease.Remaining > time.Minute {
		t.Errorf("got %+v with %+v, want the lease of the leader", shared, shared.Lease)
	}

	token := newToken(fence)
	put(t, leader, token)
	brokertest.Eventually(t, "the follower is notified", func() bool { return notified.Load() > before })
	shared = get(t, follower)
	wantToken(t, shared.Token, token)
	if shared.Lease.FencingToken != 0 {
		t.Errorf("got %+v after the token was stored, want no lease", shared.Lease)
	}
	if next := lead(t, follower, time.Minute); next <= fence {
		t.Errorf("got fencing token %d after %d, want a greater one", next, fence)
	}
}

func TestOneBrokerAcquiresLease(t *testing.T) {
	t.Parallel()
	s := start(t)
	var acquired atomic.Int32
	var all sync.WaitGroup
	entries := make([]tokensource.Entry, 10)
	for i := range entries {
		entries[i] = newBroker(t, s.url).entry()
		get(t, entries[i]) // all see that it is free
	}
	for _, e := range entries {
		all.Go(func() {
			if ok, err := e.Acquire(context.Background(), tokensource.Lease{Remaining: time.Minute}); err != nil {
				t.Error(err)
			} else if ok {
				acquired.Add(1)
			}
		})
	}
	all.Wait()
	if n := acquired.Load(); n != 1 {
		t.Errorf("%d brokers acquired the lease, want 1", n)
	}
}

func TestRemainingIsTheLesserOfTwoClocks(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoEntries(t, s)
	token := newToken(lead(t, one, time.Minute))
	token.Issued = token.Issued.Add(-100 * time.Second)
	put(t, one, token)
	wantAbout := func(want time.Duration) {
		t.Helper()
		if got := get(t, other).Token; got.Remaining > want || got.Remaining < want-10*time.Second {
			t.Errorf("got %+v, want %v remaining", got, want)
		}
	}
	wantAbout(200 * time.Second) // by its own account
	s.do("PEXPIRE", s.key(":token"), 50_000)
	wantAbout(50 * time.Second) // by the store's clock
	for _, milliseconds := range []any{3_600_000, "9000000000000"} {
		s.do("PEXPIRE", s.key(":token"), milliseconds)
		wantAbout(200 * time.Second)
	}

	// A token from the future does not live longer for it.
	token.FencingToken, token.Issued = token.FencingToken+1, time.Now().Add(time.Hour)
	put(t, one, token)
	s.do("PEXPIRE", s.key(":token"), 3_600_000)
	if got := get(t, other).Token; got.FencingToken == 0 || got.Remaining > token.Lifetime {
		t.Errorf("got %+v, want at most %v remaining", got, token.Lifetime)
	}
}

// A broker that slept past the end of its lease can overwrite neither a newer token nor the lease of another broker.
func TestOldFencingTokenChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoEntries(t, s)
	slept := lead(t, one, 50*time.Millisecond)
	var next int64
	brokertest.Eventually(t, "the lease expires", func() bool {
		if get(t, other).Lease.FencingToken != 0 {
			return false
		}
		next = lead(t, other, time.Minute)
		return true
	})
	if next <= slept {
		t.Fatalf("got fencing token %d after %d, want a greater one", next, slept)
	}

	// It may store its token, but the lease is another's, also once it has seen that.
	get(t, one)
	put(t, one, newToken(slept))
	failure := &tokensource.RefreshError{Outcome: tokensource.OutcomeUnavailable}
	for _, outcome := range []tokensource.Lease{{}, {FencingToken: slept, Failure: failure, Remaining: time.Minute}} {
		if err := one.Release(context.Background(), outcome); err != nil {
			t.Error(err)
		}
	}
	if lease := get(t, one).Lease; lease.FencingToken != next || lease.Failure != nil {
		t.Errorf("got %+v, want the lease with fencing token %d", lease, next)
	}

	newer := newToken(next)
	put(t, other, newer)
	put(t, one, newToken(slept))
	wantToken(t, get(t, one).Token, newer)
}

func TestReleasedLeaseIsFree(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoEntries(t, s)
	first := lead(t, one, time.Minute)
	if err := one.Release(context.Background(), tokensource.Lease{}); err != nil {
		t.Fatal(err)
	}
	if second := lead(t, other, time.Minute); second <= first {
		t.Errorf("got fencing token %d after %d, want a greater one", second, first)
	}
}

// After a failure the lease is the backoff: all brokers see the reason, and none acquires the lease before its end.
func TestFailureKeepsLeaseForPause(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoEntries(t, s)
	want := tokensource.Lease{
		FencingToken: lead(t, one, time.Minute),
		Failure: &tokensource.RefreshError{
			Outcome: tokensource.OutcomeRejected, Reason: "the login server rejected the credentials (401 Unauthorized)",
			Advice: `Look under "Show" > ….`, Parameters: true,
		},
		Failures:  3,
		Remaining: 300 * time.Millisecond,
	}
	if err := one.Release(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	for _, e := range []tokensource.Entry{one, other} {
		got := get(t, e).Lease
		if got.Remaining <= 0 || got.Remaining > want.Remaining {
			t.Fatalf("got %+v, want %v remaining at most", got, want.Remaining)
		}
		got.Remaining = want.Remaining
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	brokertest.Eventually(t, "the pause ends", func() bool { return get(t, other).Lease.FencingToken == 0 })
	lead(t, other, time.Minute)
}

// losesReply is a writer that fails, once it is armed, at the reply to a request for a lease: the server gets the request, but the
// broker no reply.
type losesReply struct{ armed atomic.Bool }

func (l *losesReply) Write(p []byte) (int, error) {
	if string(p) == "*1\r\n$1\r\n1\r\n" && l.armed.CompareAndSwap(true, false) {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// A broker whose connection breaks before the reply comes has the lease.
func TestLostReplyLosesNoLease(t *testing.T) {
	t.Parallel()
	s := start(t)
	var loses losesReply
	e := newBroker(t, newProxy(t, s, &loses).url).entry()
	lead(t, e, time.Minute) // so that the server has the scripts
	if err := e.Release(context.Background(), tokensource.Lease{}); err != nil {
		t.Fatal(err)
	}
	loses.armed.Store(true)
	fence := lead(t, e, time.Minute)
	if loses.armed.Load() {
		t.Fatal("no reply was lost")
	}
	put(t, e, newToken(fence))
	if lease := get(t, e).Lease; lease.FencingToken != 0 {
		t.Errorf("got %+v after the token was stored, want no lease", lease)
	}
}

// A token is stored although the store was slow before: the other brokers wait for it.
func TestStoresTokenAfterTimeout(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoEntries(t, s)
	fence := get(t, one).FencingToken
	expired, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	if _, err := one.Acquire(expired, tokensource.Lease{FencingToken: fence, Remaining: time.Minute}); err == nil {
		t.Fatal("got no error, want that it did not answer in time")
	}
	if _, err := one.Get(context.Background()); err == nil {
		t.Error("got no error, want the store to be left alone for a while")
	}
	token := newToken(fence)
	put(t, one, token)
	wantToken(t, get(t, other).Token, token)
}

// Other credentials, or a token for something else, have their own entry.
func TestEntryDependsOnCredentialsAndEndpoint(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := newBroker(t, s.url)
	changed := func(change func(*tokensource.TokenEndpoint)) tokensource.TokenEndpoint {
		e := endpoint
		change(&e)
		return e
	}
	usual := credentials(clientID, clientSecret)
	entries := []tokensource.Entry{
		b.Entry(usual, endpoint, func() {}),
		b.Entry(credentials("another", clientSecret), endpoint, func() {}),
		b.Entry(credentials(clientID, "another"), endpoint, func() {}),
		b.Entry(credentials(clientID+"x", clientSecret[1:]), endpoint, func() {}),
		b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.URL += "/" }), func() {}),
		b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.Audience += "/" }), func() {}),
		b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.URL, e.Audience = e.URL+"h", e.Audience[1:] }), func() {}),
		b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.Scopes = []string{"a", "b"} }), func() {}),
		b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.Scopes = []string{"a b"} }), func() {}),
		b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.Scopes = []string{"ab"} }), func() {}),
	}
	for i, e := range entries {
		put(t, e, newToken(lead(t, e, time.Minute)))
		for j, other := range entries[i+1:] {
			if token := get(t, other).Token; token.FencingToken != 0 {
				t.Errorf("entry %d has the token of entry %d", i+1+j, i)
			}
		}
	}
	if n := len(s.keys(":token")); n != len(entries) {
		t.Errorf("got %d keys for %d entries", n, len(entries))
	}

	// The transport and its timeout are not part of it: brokers may differ in them.
	same := b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.Timeout, e.UserAgent = time.Hour, "x" }), func() {})
	if get(t, same).Token.FencingToken == 0 {
		t.Error("got no token with another timeout, want the same entry")
	}
}

// A store that has lost its data is used again, and no fencing token comes twice.
func TestStoreLosesItsData(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*server){
		"flushed": func(s *server) { s.do("FLUSHALL") },
		"scripts": func(s *server) { s.do("SCRIPT", "FLUSH") },
		"restarted": func(s *server) {
			s.kill()
			s.run()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			one, other := connect(t, s.url).entry(), connect(t, s.url).entry()
			fence := lead(t, one, time.Minute)
			put(t, one, newToken(fence))
			if get(t, other).Token.FencingToken == 0 {
				t.Error("got no token, want one")
			}
			lose(s)
			next := lead(t, other, time.Minute)
			if next <= fence {
				t.Errorf("got fencing token %d after %d, want a greater one", next, fence)
			}
			token := newToken(next)
			put(t, other, token)
			wantToken(t, get(t, one).Token, token)
		})
	}
}
