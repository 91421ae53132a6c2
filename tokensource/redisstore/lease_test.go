package redisstore_test

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

func TestOneFetchesForAll(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := newBroker(t, s.url), newBroker(t, s.url)
	var told atomic.Int32
	one := a.place()
	other := b.Entry(credentials(clientID, clientSecret), endpoint, func() { told.Add(1) })
	eventually(t, "the other listens", func() bool { return told.Load() > 0 })
	before := told.Load()

	fence := lead(t, one, tokensource.Known{}, time.Minute)
	waiting := take(t, other, tokensource.Known{}, time.Minute)
	if waiting.Leased || waiting.Token != nil || waiting.Failure != nil || waiting.FencingToken <= fence ||
		waiting.Wait <= 0 || waiting.Wait > time.Minute {
		t.Errorf("the second Acquire = %+v", waiting)
	}
	if token := look(t, other, tokensource.Known{}); token != nil {
		t.Errorf("a token before there is one: %+v", token)
	}

	token := newToken(fence)
	put(t, one, token)
	eventually(t, "the other is told", func() bool { return told.Load() > before })
	same(t, look(t, other, tokensource.Known{}), token)
	same(t, take(t, other, tokensource.Known{}, time.Minute).Token, token)

	// Who has this token, or one that lives longer, gets none.
	for _, had := range []tokensource.Known{{FencingToken: fence}, {FencingToken: fence + 1}, {FencingToken: 1, Remaining: 10 * time.Minute}} {
		if token := look(t, other, had); token != nil {
			t.Errorf("Get(%+v) = %+v", had, token)
		}
	}
	same(t, look(t, other, tokensource.Known{FencingToken: 1, Remaining: time.Minute}), token)

	// With the token, the lease was given back.
	if next := lead(t, other, tokensource.Known{FencingToken: fence}, time.Minute); next <= fence {
		t.Errorf("the next fence is %d, after %d", next, fence)
	}
}

// Of many who ask at once, one gets the lease.
func TestOneLease(t *testing.T) {
	t.Parallel()
	s := start(t)
	var leased atomic.Int32
	var all sync.WaitGroup
	for range 10 {
		place := newBroker(t, s.url).place()
		all.Go(func() {
			if taken, err := place.Acquire(context.Background(), tokensource.Known{}, time.Minute); err != nil {
				t.Error(err)
			} else if taken.Leased {
				leased.Add(1)
			}
		})
	}
	all.Wait()
	if n := leased.Load(); n != 1 {
		t.Errorf("%d leases", n)
	}
}

func TestRemainingIsTheLesserOfTwoClocks(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoPlaces(t, s)
	token := newToken(lead(t, one, tokensource.Known{}, time.Minute))
	token.Issued = token.Issued.Add(-100 * time.Second)
	put(t, one, token)
	within := func(most time.Duration) {
		t.Helper()
		got := look(t, other, tokensource.Known{})
		if got == nil || got.Remaining > most || got.Remaining < most-10*time.Second {
			t.Errorf("%+v, want %v", got, most)
		}
	}
	within(200 * time.Second) // by its own account
	s.do("PEXPIRE", s.key(":token"), 50_000)
	within(50 * time.Second) // by the store's
	for _, milliseconds := range []any{3_600_000, "9000000000000"} {
		s.do("PEXPIRE", s.key(":token"), milliseconds)
		within(200 * time.Second)
	}

	// What was issued in the time to come does not live longer for it.
	token.FencingToken, token.Issued = token.FencingToken+1, time.Now().Add(time.Hour)
	put(t, one, token)
	s.do("PEXPIRE", s.key(":token"), 3_600_000)
	if got := look(t, other, tokensource.Known{}); got == nil || got.Remaining > token.Lifetime {
		t.Errorf("%+v", got)
	}
}

// The store's clock may be behind, or a token of the past be put back: one that lives no longer than the one had, by the
// clock here, is no better, and another may be fetched.
func TestTokenThatIsNoBetterCountsAsHad(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoPlaces(t, s)
	token := newToken(lead(t, one, tokensource.Known{}, time.Minute))
	token.Issued = token.Issued.Add(-time.Hour)
	put(t, one, token)
	for _, had := range []tokensource.Known{{}, {FencingToken: 1, Remaining: time.Second}} {
		if got := look(t, other, had); got != nil {
			t.Errorf("a token that has come to its end: %+v", got)
		}
	}
	put(t, other, newToken(lead(t, other, tokensource.Known{}, time.Minute)))
	if look(t, one, tokensource.Known{}) == nil {
		t.Error("it was not replaced")
	}
}

func TestOldFenceChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoPlaces(t, s)
	slept := lead(t, one, tokensource.Known{}, 50*time.Millisecond)
	var next uint64
	eventually(t, "the lease comes to its end", func() bool {
		taken := take(t, other, tokensource.Known{}, time.Minute)
		next = taken.FencingToken
		return taken.Leased
	})
	if next <= slept {
		t.Fatalf("fence %d after %d", next, slept)
	}

	// It may bring its token, and its failure, but the lease is another's.
	put(t, one, newToken(slept))
	if err := one.Release(context.Background(), slept, nil, 0); err != nil {
		t.Error(err)
	}
	failure := &tokensource.SharedFailure{RefreshError: tokensource.RefreshError{Outcome: tokensource.OutcomeUnavailable}}
	if err := one.Release(context.Background(), slept, failure, time.Minute); err != nil {
		t.Error(err)
	}
	if taken := take(t, one, tokensource.Known{FencingToken: slept}, time.Minute); taken.Leased || taken.Failure != nil || taken.Wait <= 0 {
		t.Errorf("with another's fence the lease was given back: %+v", taken)
	}

	newer := newToken(next)
	put(t, other, newer)
	put(t, one, newToken(slept))
	same(t, look(t, one, tokensource.Known{}), newer)
}

func TestRelease(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoPlaces(t, s)
	first := lead(t, one, tokensource.Known{}, time.Minute)
	if err := one.Release(context.Background(), first, nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	second := lead(t, other, tokensource.Known{}, time.Minute) // free at once
	if second <= first {
		t.Errorf("fence %d after %d", second, first)
	}

	want := tokensource.SharedFailure{
		RefreshError: tokensource.RefreshError{
			Outcome: tokensource.OutcomeRejected, Reason: "the login server rejected the credentials (401 Unauthorized)",
			Advice: `Look under "Show" > ….`, Parameters: true,
		},
		Failures: 7,
	}
	const pause = 300 * time.Millisecond
	if err := other.Release(context.Background(), second, &want, pause); err != nil {
		t.Fatal(err)
	}
	for _, place := range []tokensource.Entry{one, other} { // who has failed waits too
		taken := take(t, place, tokensource.Known{}, time.Minute)
		if taken.Leased || taken.Wait <= 0 || taken.Wait > pause || taken.Failure == nil || !reflect.DeepEqual(*taken.Failure, want) {
			t.Errorf("Acquire = %+v (%+v)", taken, taken.Failure)
		}
	}
	eventually(t, "the pause comes to its end", func() bool { return take(t, one, tokensource.Known{}, time.Minute).Leased })
}

// Other credentials, or a token for something else, have a place of their own.
func TestPlaces(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := newBroker(t, s.url)
	changed := func(change func(*tokensource.TokenEndpoint)) tokensource.TokenEndpoint {
		e := endpoint
		change(&e)
		return e
	}
	usual := credentials(clientID, clientSecret)
	places := []tokensource.Entry{
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
	for i, place := range places {
		fence := lead(t, place, tokensource.Known{}, time.Minute)
		put(t, place, newToken(fence))
		for j, other := range places[i+1:] {
			if token := look(t, other, tokensource.Known{}); token != nil {
				t.Errorf("place %d reads what was put into %d", i+1+j, i)
			}
		}
	}
	if n := len(s.keys(":token")); n != len(places) {
		t.Errorf("%d keys for %d places", n, len(places))
	}

	// The transport and its time-out are no part of it: brokers may differ in them.
	same := b.Entry(usual, changed(func(e *tokensource.TokenEndpoint) { e.Timeout, e.UserAgent = time.Hour, "x" }), func() {})
	if look(t, same, tokensource.Known{}) == nil {
		t.Error("the time-out makes another place")
	}
}

// A store that has lost everything begins anew, and no fence comes twice.
func TestStoreIsEmptied(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]func(*server){
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
			one, other := twoPlaces(t, s)
			fence := lead(t, one, tokensource.Known{}, time.Minute)
			put(t, one, newToken(fence))
			if look(t, other, tokensource.Known{}) == nil {
				t.Error("there is no token")
			}
			empty(s)
			var next uint64
			eventually(t, "the store is used again", func() bool {
				taken, _ := other.Acquire(context.Background(), tokensource.Known{FencingToken: fence}, time.Minute)
				next = taken.FencingToken
				return taken.Leased
			})
			if next <= fence {
				t.Errorf("fence %d after %d", next, fence)
			}
			eventually(t, "the store is used again", func() bool { return other.Put(context.Background(), newToken(next)) == nil })
			eventually(t, "the store is used again", func() bool { _, err := one.Get(context.Background(), tokensource.Known{}); return err == nil })
			if got := look(t, one, tokensource.Known{FencingToken: fence}); got == nil || got.FencingToken != next {
				t.Errorf("got %+v", got)
			}
		})
	}
}
