package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test with a fleet of 50 and a store.
func inBubble(t *testing.T, lifetime time.Duration, test func(f *fleet)) {
	t.Helper()
	inBubbleOf(t, 50, lifetime, test)
}

func inBubbleOf(t *testing.T, n int, lifetime time.Duration, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		test(newFleet(t, n, lifetime, newMemoryStore()))
	})
}

func TestColdStartFetchesOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(150 * time.Millisecond) // the login server takes 100
		if n := f.withoutToken(); n != 0 {
			t.Errorf("%d brokers have no token, want 0", n)
		}
		f.at(time.Minute)
		if n := f.login.count(); n != 1 {
			t.Errorf("got %d token requests, want 1", n)
		}
		if n := f.store.operations(); n > 4*50 {
			t.Errorf("got %d operations of the store, want fewer", n)
		}
		f.checkCounters()
	})
}

// Without notifications, brokers that wait for the first token poll.
func TestColdStartWithoutNotifications(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.store.deaf = true
		f.at(1600 * time.Millisecond)
		if n := f.withoutToken(); n != 0 || f.login.count() != 1 {
			t.Errorf("%d brokers have no token after %d token requests, want 0 after 1", n, f.login.count())
		}
		if n := f.requestsDuring(func() { f.at(1501 * time.Second) }); n > 6 {
			t.Errorf("got %d token requests in five lifetimes, want at most 6", n)
		}
	})
}

func TestFleetFetchesOncePerLifetime(t *testing.T) {
	t.Parallel()
	for _, lifetime := range []time.Duration{300 * time.Second, 5 * time.Second, time.Second} {
		t.Run(lifetime.String(), func(t *testing.T) {
			inBubble(t, lifetime, func(f *fleet) {
				f.login.setDelay(min(lifetime/50, time.Second))
				f.at(lifetime / 10)
				f.login.setDelay(lifetime / 50)
				for range 100 {
					f.pass(lifetime / 10)
					if n := len(f.leaders()); n != 1 {
						// Between a Put and the moment at which the previous leader has seen it, there are two.
						f.pass(lifetime / 20)
						if n := len(f.leaders()); n != 1 {
							t.Errorf("at %v: got %d leaders, want 1", time.Since(f.began), n)
						}
					}
				}
				// A token is replaced at 80 % of its lifetime.
				if n := f.login.count(); n < 12 || n > 14 {
					t.Errorf("got %d token requests in ten lifetimes, want 12 to 14", n)
				}
				if n := f.store.operations(); n > 14*50*6 {
					t.Errorf("got %d operations of the store, want fewer", n)
				}
				t.Logf("%d token requests, %d operations of the store", f.login.count(), f.store.operations())
				f.checkCounters()
				hits, waits := 0, 0
				for _, b := range f.brokers {
					snapshot := b.Snapshot()
					hits += int(snapshot.StoreHits)
					waits += int(snapshot.RequestsWaited)
					if snapshot.StoreErrors != 0 || snapshot.LastFailure != nil || snapshot.ConsecutiveFailures != 0 {
						t.Errorf("%+v", snapshot)
					}
				}
				if want := 49 * (f.login.count() - 1); hits < want || waits != 0 {
					t.Errorf("got %d tokens from the store and %d waiting requests, want at least %d and 0", hits, waits, want)
				}
			})
		})
	}
}

// A broker that starts later uses the stored token.
func TestLateBrokersUseStoredToken(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		for range 30 {
			f.pass(31 * time.Second)
			b := f.add()
			b.start()
			time.Sleep(time.Millisecond)
			if _, _, ok := b.Current(); !ok {
				t.Error("a late broker has no token, want the stored one")
			}
		}
		if n := f.login.count(); n > 5 {
			t.Errorf("got %d requests in 930 s, want fewer", n)
		}
	})
}
