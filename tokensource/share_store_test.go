package tokensource_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/tokensource"
)

// TestStoreFaultsLoseNoToken breaks the store in every way. No broker loses its token, the requests are spread over time, and
// afterwards the token is shared again.
func TestStoreFaultsLoseNoToken(t *testing.T) {
	for _, fault := range append([]storeFault{away, slow}, invalidReplies...) {
		for _, lifetime := range []time.Duration{300 * time.Second, 60 * time.Second} {
			for _, when := range []string{"at the start", "in the middle"} {
				t.Run(fmt.Sprintf("%s, %s, %v", fault, when, lifetime), func(t *testing.T) {
					t.Parallel()
					const brokers = 30
					inBubbleOf(t, brokers, lifetime, func(f *fleet) {
						if when == "in the middle" {
							f.at(lifetime / 2)
						}
						f.store.set(fault)
						if when == "at the start" {
							wait := 10 * time.Second
							switch fault { // a lease is believed once, for as long as it may last
							case oldLease:
								wait = 20 * time.Second
							case oldFailure:
								wait = 35 * time.Second
							case replaysLeases: // each is that of another broker
								wait = 65 * time.Second
							}
							f.pass(wait)
							if n := f.withoutToken(); n > 0 {
								t.Errorf("%d brokers have no token after %v, want 0", n, wait)
							}
						}
						f.pass(lifetime)
						first := f.login.count()
						n := f.requestsDuring(func() { f.pass(3 * lifetime) })
						if n > 3*brokers*3/2 {
							t.Errorf("got %d requests in three lifetimes, want at most those without a store", n)
						}
						burst := f.login.busiest(100*time.Millisecond, first)
						t.Logf("%d requests in three lifetimes, %d in 100 ms", n, burst)
						if lifetime == 300*time.Second && burst > 12 {
							t.Errorf("got %d requests in 100 ms, want at most 12", burst)
						}
						for i, b := range f.brokers {
							if (fault == away || fault == slow) && b.Snapshot().StoreErrors == 0 {
								t.Errorf("broker %d has no store errors, want some", i)
							}
						}
						f.store.set(healthy)
						f.pass(lifetime + 30*time.Second)
						if n := f.requestsDuring(func() { f.pass(2 * lifetime) }); n > 4 {
							t.Errorf("got %d requests in two lifetimes after the fault, want at most 4", n)
						}
						f.checkCounters()
					})
				})
			}
		}
	}
}

// A store that gives the lease to no broker delays a start by a few seconds, and causes no burst.
func TestHeldLeaseDelaysStartBriefly(t *testing.T) {
	for lag, most := range map[time.Duration]time.Duration{0: 3 * time.Second, 900 * time.Millisecond: time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			t.Parallel()
			const n = 500
			inBubbleOf(t, n, 300*time.Second, func(f *fleet) {
				f.store.set(heldForEver)
				f.store.setLag(lag)
				f.at(most)
				if got := f.login.count(); got != n {
					t.Errorf("%d of %d brokers have sent a token request after %v, want all", got, n, most)
				}
				f.pass(f.login.delay)
				if got := f.withoutToken(); got != 0 {
					t.Errorf("%d of %d brokers have no token, want 0", got, n)
				}
				if got, want := f.login.busiest(100*time.Millisecond, 0), n/3; got > want {
					t.Errorf("%d of %d brokers fetch within 100 ms, want at most %d", got, n, want)
				}
				if got := f.requestsDuring(func() { f.at(209 * time.Second) }); got != 0 {
					t.Errorf("got %d more requests before the tokens are due, want 0", got)
				}
			})
		})
	}
}

func TestStoreDataLossIsNoStorm(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(100 * time.Second)
		for range 10 {
			f.store.lose()
			f.pass(100 * time.Second)
		}
		f.pass(2000 * time.Second)
		if n := f.login.count(); n > 20 {
			t.Errorf("got %d requests in ten lifetimes, want fewer", n)
		}
	})
}

// The store comes and goes all the time.
func TestStoreThatComesAndGoes(t *testing.T) {
	for _, fault := range []storeFault{away, slow, heldForEver, swallowsPuts, expiredFailure, expiringToken} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			inBubbleOf(t, 20, 30*time.Second, func(f *fleet) {
				random := rand.New(rand.NewPCG(1, 2))
				f.at(time.Second)
				n := f.requestsDuring(func() {
					for range 60 {
						f.store.set(fault)
						f.pass(time.Duration(random.Int64N(int64(10 * time.Second))))
						f.store.set(healthy)
						f.pass(time.Duration(random.Int64N(int64(10 * time.Second))))
					}
				})
				if n > 20*20 { // 20 lifetimes
					t.Errorf("got %d requests, want fewer", n)
				}
				t.Logf("%d requests in 20 lifetimes", n)
			})
		})
	}
}

// A broker that is notified just before its token ends does not look too late.
func TestNotifiedBrokersLookBeforeTheirTokenEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(200 * time.Second)
		f.login.set(isDown)
		f.at(299800 * time.Millisecond)
		peer, fence := f.peer()
		f.login.mu.Lock()
		f.login.tokens["Bearer new"] = &tokenRequest{ended: time.Now(), lifetime: 300 * time.Second}
		f.login.mu.Unlock()
		err := peer.Put(f.t.Context(), tokensource.SharedToken{
			AccessToken: tokensource.NewSecret("new"), FencingToken: fence, Issued: time.Now(), Lifetime: 300 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		f.step = 10 * time.Millisecond
		f.pass(time.Second)
	})
}

func TestEndlessNotificationsAreNoStorm(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault string
		most  int // requests of a broker to the store, in a second
	}{
		"with a token":    {"", 2},
		"without a token": {isDown, 12},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 300*time.Second, func(f *fleet) {
				f.login.set(tc.fault)
				f.at(20 * time.Second)
				before := f.store.gets
				for range 1000 {
					for _, c := range f.store.contents {
						for _, entry := range c.entries {
							entry.onChange()
						}
					}
					time.Sleep(time.Millisecond)
				}
				synctest.Wait()
				n := f.store.gets - before
				t.Logf("%d requests to the store in a second", n)
				if n > 50*tc.most+50 || n < 30 {
					t.Errorf("got %d requests to the store in a second, want %d at most", n, 50*tc.most+50)
				}
			})
		})
	}
}
