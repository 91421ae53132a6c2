package tokensource_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
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
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.store.setDeaf(true)
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

func TestStoppedLeaderReleasesLease(t *testing.T) {
	t.Run("in its first request", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.login.setDelay(2 * time.Second)
			f.at(time.Second)
			leader := f.fetching()
			if len(leader) != 1 {
				t.Fatalf("got %d brokers with a token request, want 1", len(leader))
			}
			leader[0].stop()
			if f.store.leased() {
				t.Error("the lease is held, want it to be free")
			}
			f.at(4600 * time.Millisecond) // a pause of up to 1.5 s, and the request
			if n := f.withoutToken(); n != 0 || f.login.count() != 2 {
				t.Errorf("%d brokers have no token after %d requests, want 0 after fewer", n, f.login.count())
			}
		})
	})
	t.Run("in a later request", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.at(time.Second)
			f.login.setDelay(2 * time.Second)
			for len(f.fetching()) == 0 {
				f.pass(time.Second)
			}
			f.leaders()[0].stop()
			f.at(600 * time.Second)
			if n := f.login.count(); n != 4 {
				t.Errorf("got %d requests, want fewer", n)
			}
		})
	})
	t.Run("between", func(t *testing.T) {
		inBubble(t, 5*time.Second, func(f *fleet) {
			f.at(time.Second)
			for range 30 {
				f.leaders()[0].stop()
				f.pass(5 * time.Second)
			}
			if n := f.login.count(); n > 45 {
				t.Errorf("got %d requests in 30 lifetimes, want fewer", n)
			}
		})
	})
	t.Run("with a store that does not answer", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.login.set(hangs)
			f.at(time.Second)
			f.store.setLag(time.Hour)
			f.stop() // which must not take more than a second
		})
	})
	t.Run("while it stores the token", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.login.setDelay(2 * time.Second)
			f.at(1900 * time.Millisecond)
			f.store.setLag(500 * time.Millisecond)
			f.at(2200 * time.Millisecond)
			if n := f.withoutToken(); n != 49 {
				t.Fatalf("%d brokers have no token, want 49 while the leader stores it", n)
			}
			f.leaders()[0].stop()
			f.at(5 * time.Second)
			if n := f.withoutToken(); n != 0 || f.login.count() != 1 {
				t.Errorf("%d brokers have no token after %d requests, want 0 after fewer", n, f.login.count())
			}
		})
	})
}

// A leader that was killed, or has lost its network, has a successor once its lease has expired, and no token is lost.
func TestKilledLeaderHasSuccessor(t *testing.T) {
	vanish := func(f *fleet, lease time.Duration) {
		pair := tokensource.Credentials{ID: tokensource.NewSecret(fakeetrusted.DefaultClientID), Secret: tokensource.NewSecret(fakeetrusted.DefaultClientSecret)}
		ghost := f.store.Entry(pair, tokensource.TokenEndpoint{}, func() {})
		defer ghost.Close()
		if _, err := ghost.Get(context.Background()); err != nil {
			t.Fatal(err)
		}
		if ok, err := ghost.Acquire(context.Background(), lease); err != nil || !ok {
			t.Fatalf("the ghost has no lease: %v", err)
		}
	}
	for _, lifetime := range []time.Duration{300 * time.Second, 60 * time.Second, 5 * time.Second} {
		t.Run(lifetime.String(), func(t *testing.T) {
			inBubble(t, lifetime, func(f *fleet) {
				f.at(lifetime * 76 / 100)
				vanish(f, min(15*time.Second, lifetime/20)) // a leader with a token takes no longer lease
				n := f.requestsDuring(func() { f.pass(lifetime / 4) })
				t.Logf("%d requests for the next token", n)
				if n < 1 || n > 2 {
					t.Errorf("got %d requests for the next token, want 1 or 2", n)
				}
				if n := f.requestsDuring(func() { f.pass(10 * lifetime) }); n > 14 {
					t.Errorf("got %d requests in ten lifetimes, want at most 14", n)
				}
			})
		})
	}
	t.Run("at the start", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			vanish(f, 15*time.Second)
			f.at(16200 * time.Millisecond) // the lease, up to a second, and the request
			if n := f.withoutToken(); n != 0 || f.login.count() > 2 {
				t.Errorf("%d brokers have no token after %d requests, want 0 after at most 2", n, f.login.count())
			}
		})
	})
}

func TestHangingLeaderIsReplaced(t *testing.T) {
	for _, lifetime := range []time.Duration{300 * time.Second, 60 * time.Second} {
		t.Run(lifetime.String(), func(t *testing.T) {
			inBubble(t, lifetime, func(f *fleet) {
				f.at(lifetime / 2)
				leader := f.leaders()[0]
				leader.path.set(hangs)
				leader.mayLoseToken = lifetime < 150*time.Second // it waits for an answer until its token has expired
				n := f.requestsDuring(func() { f.pass(lifetime) })
				t.Logf("%d requests in the lifetime", n)
				if n > 5 {
					t.Errorf("got %d requests in the lifetime, want at most 5", n)
				}
				f.pass(30 * time.Second)
				if n := f.requestsDuring(func() { f.pass(10 * lifetime) }); n > 15 {
					t.Errorf("got %d requests in ten lifetimes, want at most 15", n)
				}
			})
		})
	}
}

// In an outage of the login server, a fleet makes about as many token requests as one broker whose requests need a token.
func TestOutageCostsFleetAsMuchAsOneBroker(t *testing.T) {
	for _, tc := range []struct {
		name        string
		lifetime    time.Duration
		from, lasts time.Duration
		most        int // requests
		fault       string
	}{
		{"ten seconds", 300 * time.Second, 238 * time.Second, 10 * time.Second, 8, isDown},
		{"until the token expires", 300 * time.Second, 200 * time.Second, 95 * time.Second, 30, isDown},
		{"ten minutes", 300 * time.Second, 100 * time.Second, 10 * time.Minute, 160, isDown},
		{"a minute, with tokens of five seconds", 5 * time.Second, 12 * time.Second, time.Minute, 50, isDown},
		{"ten minutes from the start", 300 * time.Second, 0, 10 * time.Minute, 160, isDown},
		{"ten minutes without an answer", 300 * time.Second, 100 * time.Second, 10 * time.Minute, 160, hangs},
		{"ten minutes without an answer from the start", 300 * time.Second, 0, 10 * time.Minute, 160, hangs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, tc.lifetime, func(f *fleet) {
				for _, b := range f.brokers {
					b.mayLoseToken = tc.from+tc.lasts > tc.lifetime
				}
				if tc.from > 0 {
					f.at(tc.from)
				}
				f.login.set(tc.fault)
				requests := f.requestsDuring(func() { f.pass(tc.lasts) })
				f.login.set("")
				began := time.Now()
				after := f.requestsDuring(func() {
					for f.pass(100 * time.Millisecond); f.withoutToken() > 0; f.pass(100 * time.Millisecond) {
						if time.Since(began) > time.Minute {
							t.Fatalf("%d brokers have no token a minute after the outage", f.withoutToken())
						}
					}
				})
				took := time.Since(began)
				t.Logf("%d requests in the outage, all have a token %v after it, with %d requests", requests, took, after)
				healed := 7 * time.Second // a pause of 5 s, a second until the first broker tries, and the request
				if tc.fault == hangs {
					healed = 20 * time.Second // a lease, and its pause
				}
				if requests > tc.most || took > healed {
					t.Errorf("got %d requests and tokens after %v, want at most %d and %v", requests, took, tc.most, healed)
				}
			})
		})
	}
}

func TestFleetWithRejectedCredentials(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.login.set(rejects)
		f.at(5 * time.Second)
		for i, b := range f.brokers {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			began := time.Now()
			_, err := b.Wait(ctx)
			if none := noToken(t, err); !isRejected(none) || time.Since(began) != 0 || !strings.Contains(none.Hint, "SSO Client Management") || none.RetryAfter > 32*time.Second {
				t.Errorf("broker %d: got %v after %v, want a rejection at once, with advice", i, none, time.Since(began))
			}
			cancel()
		}
		f.at(10 * time.Minute)
		t.Logf("%d requests in 10 minutes", f.login.count())
		if n := f.login.count(); n > 27 {
			t.Errorf("got %d requests in 10 minutes, want at most 27", n)
		}
		if longest := f.store.longest(); longest > 30*time.Second {
			t.Errorf("got a pause of %v, want at most 30s", longest)
		}
		f.login.set("")
		f.pass(32 * time.Second)
		if n := f.withoutToken(); n != 0 {
			t.Errorf("%d brokers have no token after the pause, want 0", n)
		}
		f.checkCounters()
	})
}

// Some brokers cannot reach the login server. The others fetch for them, and no token is lost.
func TestDisconnectedBrokersUseTokensOfOthers(t *testing.T) {
	for _, fault := range []string{disconnected, forbids, hangs, isDown} {
		for _, nth := range []int{50, 5, 2} {
			if fault == hangs && nth == 2 {
				continue // each attempt takes the others a lease, so half of a fleet that hangs can lose a token
			}
			t.Run(fmt.Sprintf("%s for each %dth", fault, nth), func(t *testing.T) {
				t.Parallel()
				inBubble(t, 300*time.Second, func(f *fleet) {
					f.at(150 * time.Second)
					leader := f.leaders()[0]
					for i, b := range f.brokers {
						if i%nth == 0 || b == leader {
							b.path.set(fault)
						}
					}
					n := f.requestsDuring(func() { f.pass(3000 * time.Second) })
					t.Logf("%d requests in ten lifetimes", n)
					if n > 150 {
						t.Errorf("got %d requests in ten lifetimes, want at most 150", n)
					}
				})
			})
		}
	}
}

// A broker that cannot reach the login server, and is the first to acquire the lease, delays the others by its pause, or by a
// lease if it gets no answer.
func TestDisconnectedFirstBrokerDelaysStartBriefly(t *testing.T) {
	for fault, most := range map[string]time.Duration{disconnected: 4 * time.Second, isDown: 4 * time.Second, forbids: 4 * time.Second, hangs: 17 * time.Second} {
		t.Run(fault, func(t *testing.T) {
			inBubble(t, 300*time.Second, func(f *fleet) {
				f.brokers[7].path.set(fault)
				f.brokers[7].start()
				synctest.Wait()
				f.start()
				for f.withoutToken() > 1 {
					f.pass(100 * time.Millisecond)
				}
				took := time.Since(f.began)
				t.Logf("after %v, %d requests", took, f.login.count())
				if took > most || f.login.count() > 2 {
					t.Errorf("got tokens after %v and %d requests, want at most %v and 2", took, f.login.count(), most)
				}
				f.at(35 * time.Second)
				if n := f.withoutToken(); n != 0 {
					t.Error("the first broker has no token, want that of the others")
				}
			})
		})
	}
}

// Of two brokers, the one that has failed lets the other one try.
func TestFailedLeaderLetsOthersTryFirst(t *testing.T) {
	for range 20 {
		inBubbleOf(t, 2, 300*time.Second, func(f *fleet) {
			f.brokers[0].path.set(hangs)
			f.brokers[0].start()
			synctest.Wait()
			f.at(34 * time.Second) // at most 30 until the first fails
			if n := f.withoutToken(); n != 0 {
				t.Errorf("%d brokers have no token, want 0", n)
			}
		})
	}
}

// TestStoreFaultsLoseNoToken breaks the store in every way. No broker loses its token, the requests are spread over time, and
// afterwards the token is shared again.
func TestStoreFaultsLoseNoToken(t *testing.T) {
	for _, fault := range append([]storeFault{away, slow}, invalidReplies...) {
		for _, lifetime := range []time.Duration{300 * time.Second, 60 * time.Second} {
			for _, when := range []string{"at the start", "in the middle"} {
				t.Run(fmt.Sprintf("%s, %s, %v", fault, when, lifetime), func(t *testing.T) {
					t.Parallel()
					inBubbleOf(t, 30, lifetime, func(f *fleet) { f.surviveStoreFault(fault, when == "at the start", lifetime) })
				})
			}
		}
	}
}

func (f *fleet) surviveStoreFault(fault storeFault, atStart bool, lifetime time.Duration) {
	f.t.Helper()
	if !atStart {
		f.at(lifetime / 2)
	}
	f.store.set(fault)
	if atStart {
		wait := 10 * time.Second
		switch fault { // a lease is believed once, for as long as it may last
		case oldLease:
			wait = 20 * time.Second
		case oldFailure:
			wait = 35 * time.Second
		}
		f.pass(wait)
		if n := f.withoutToken(); n > 0 {
			f.t.Errorf("%d brokers have no token after %v, want 0", n, wait)
		}
	}
	f.pass(lifetime)
	first := f.login.count()
	n := f.requestsDuring(func() { f.pass(3 * lifetime) })
	if n > 3*len(f.brokers)*3/2 {
		f.t.Errorf("got %d requests in three lifetimes, want at most those without a store", n)
	}
	burst := f.login.busiest(100*time.Millisecond, first)
	f.t.Logf("%d requests in three lifetimes, %d in 100 ms", n, burst)
	if lifetime == 300*time.Second && burst > 12 {
		f.t.Errorf("got %d requests in 100 ms, want at most 12", burst)
	}
	for i, b := range f.brokers {
		if (fault == away || fault == slow) && b.Snapshot().StoreErrors == 0 {
			f.t.Errorf("broker %d has no store errors, want some", i)
		}
	}
	f.store.set(healthy)
	f.pass(lifetime + 30*time.Second)
	if n := f.requestsDuring(func() { f.pass(2 * lifetime) }); n > 4 {
		f.t.Errorf("got %d requests in two lifetimes after the fault, want at most 4", n)
	}
	f.checkCounters()
}

// A store that gives the lease to no broker delays a start by a few seconds, and causes no burst.
func TestHeldLeaseDelaysStartBriefly(t *testing.T) {
	for lag, most := range map[time.Duration]time.Duration{0: 3 * time.Second, 900 * time.Millisecond: 8 * time.Second} {
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
				if got, want := f.login.busiest(100*time.Millisecond, 0), n/4; got > want {
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

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	for name, many := range map[string]int{"one": 1, "all at once": 50} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 300*time.Second, func(f *fleet) {
				f.at(30 * time.Second)
				sent, _ := f.brokers[0].Current()
				if many > 1 {
					f.login.setLifetime(60 * time.Second) // it replaces the refused one although that would live longer
				}
				for _, b := range f.brokers[:many] {
					if !b.Invalidate(sent) {
						t.Fatal("the token is kept, want it to be replaced")
					}
				}
				var waiting sync.WaitGroup
				for _, b := range f.brokers[:many] {
					waiting.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), time.Second)
						defer cancel()
						if value, err := b.WaitNewer(ctx, sent); err != nil || value == sent {
							t.Errorf("got %s and %v, want another token", value, err)
						}
					})
				}
				waiting.Wait()
				if took := time.Since(f.began) - 30*time.Second; took > 150*time.Millisecond {
					t.Errorf("refused requests waited %v, want at most 150ms", took)
				}
				f.at(31200 * time.Millisecond)
				for i, b := range f.brokers {
					if now, ok := b.Current(); !ok || now == sent {
						t.Errorf("broker %d has the refused token yet", i)
					}
					if got, want := b.Snapshot().Invalidations, uint64(1); i < many && got != want || i >= many && got != 0 {
						t.Errorf("broker %d has dropped %d", i, got)
					}
				}
				if n := f.login.count(); n != 2 {
					t.Errorf("got %d requests, want fewer", n)
				}
			})
		})
	}
}

// An API that refuses every token costs one token request in ten seconds, of all brokers together.
func TestPermanent401OfFleetIsNoStorm(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(20 * time.Second)
		n := f.requestsDuring(func() {
			for range 600 {
				for _, b := range f.brokers {
					if sent, ok := b.Current(); ok {
						b.Invalidate(sent)
					}
				}
				f.pass(100 * time.Millisecond)
			}
		})
		if n < 5 || n > 7 {
			t.Errorf("got %d requests in a minute, want fewer", n)
		}
	})
}

func TestMinimumAgeCountsFromTokenRequest(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(5 * time.Second)
		late := f.add(func(*tokensource.Config) {})
		f.at(9900 * time.Millisecond)
		sent, ok := late.Current()
		if !ok || late.Invalidate(sent) || f.brokers[3].Invalidate(sent) {
			t.Errorf("%v: a token younger than 10 s is dropped", ok)
		}
		f.at(10200 * time.Millisecond)
		if !late.Invalidate(sent) {
			t.Error("a token older than 10 s is kept")
		}
	})
}

// A broker that starts later uses the stored token.
func TestLateBrokersUseStoredToken(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		for range 30 {
			f.pass(31 * time.Second)
			b := f.add(func(*tokensource.Config) {})
			b.start()
			time.Sleep(time.Millisecond)
			if _, ok := b.Current(); !ok {
				t.Error("a late broker has no token, want the stored one")
			}
		}
		if n := f.login.count(); n > 5 {
			t.Errorf("got %d requests in 930 s, want fewer", n)
		}
	})
}

// rotating is a fleet whose brokers read the same files.
type rotating struct {
	*fleet
	folder string
}

func newRotating(t *testing.T, n int) *rotating {
	t.Helper()
	r := &rotating{folder: t.TempDir()}
	r.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	part := func(name string) tokensource.CredentialField {
		path := filepath.Join(r.folder, name)
		return tokensource.CredentialField{Name: path, File: path}
	}
	r.fleet = newFleetWith(t, n, 300*time.Second, newMemoryStore(), func(_ int, config *tokensource.Config) {
		config.Credentials = tokensource.CredentialSource{ID: part("id"), Secret: part("secret")}
	})
	return r
}

func (r *rotating) write(t *testing.T, id, secret string) {
	t.Helper()
	for name, text := range map[string]string{"id": id, "secret": secret} {
		if err := os.WriteFile(filepath.Join(r.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// recheck makes all brokers read the files, one after the other.
func (r *rotating) recheck(within time.Duration) {
	for _, i := range rand.Perm(len(r.brokers)) {
		r.brokers[i].ReloadCredentials()
		r.pass(within / time.Duration(len(r.brokers)))
	}
}

func TestFleetRotates(t *testing.T) {
	for _, within := range []time.Duration{0, 10 * time.Second} {
		t.Run(within.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotating(t, 50)
				r.at(20 * time.Second)
				r.login.setPair("new", "new", true)
				r.write(t, "new", "new")
				n := r.requestsDuring(func() {
					r.recheck(within)
					r.pass(3 * time.Second)
				})
				if n > 2 {
					t.Errorf("got %d requests, want fewer", n)
				}
				for i, b := range r.brokers {
					if b.Snapshot().Reloads != [3]uint64{1, 0, 0} || b.Snapshot().PendingReload != nil {
						t.Errorf("broker %d: %+v", i, b.Snapshot())
					}
				}
				if open := r.store.unclosed(); open != 50 {
					t.Errorf("got %d open entries, want fewer", open)
				}
				if n := r.requestsDuring(func() { r.pass(3000 * time.Second) }); n > 14 || r.login.countOf("new") < n {
					t.Errorf("got %d requests in ten lifetimes, %d of the new client; want at most 14, all of it", n, r.login.countOf("new"))
				}
			})
		})
	}
}

func TestFleetKeepsPairWhileNewOneIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 50)
		r.at(20 * time.Second)
		r.write(t, "wrong", "wrong")
		r.recheck(5 * time.Second)
		r.pass(10 * time.Minute)
		t.Logf("%d requests of the wrong pair in 10 minutes", r.login.countOf("wrong"))
		if n := r.login.countOf("wrong"); n > 30 {
			t.Errorf("got %d requests of the wrong pair in 10 minutes, want fewer", n)
		}
		for i, b := range r.brokers {
			if unused := b.Snapshot().PendingReload; unused == nil || unused.Outcome != tokensource.ReloadRejected || b.Snapshot().LastFailure != nil {
				t.Errorf("broker %d: %+v", i, b.Snapshot())
			}
		}
		r.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
		r.recheck(time.Second)
		r.pass(time.Second)
		if open := r.store.unclosed(); open != 50 {
			t.Errorf("got %d open entries, want fewer", open)
		}
	})
}

// The client is enabled in the Control Centre: the fleet switches at the end of the pause.
func TestFleetSwitchesOnceNewPairIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 50)
		r.at(20 * time.Second)
		r.write(t, "new", "new")
		r.recheck(5 * time.Second)
		r.pass(time.Minute)
		rejected := r.login.countOf("new")
		r.login.setPair("new", "new", true)
		switched := func() (n int) {
			for _, b := range r.brokers {
				n += int(b.Snapshot().Reloads[0])
			}
			return n
		}
		r.pass(35 * time.Second)
		if n := switched(); n < 50-rejected {
			t.Errorf("%d of 50 brokers use the new pair after %d rejections, want all", n, rejected)
		}
		r.pass(5 * time.Minute)
		if n := switched(); n != 50 {
			t.Errorf("%d of 50 brokers use the new pair, want all", n)
		}
	})
}

func TestAlternatingPairsAreNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 20)
		r.at(20 * time.Second)
		r.login.setPair("new", "new", true)
		n := r.requestsDuring(func() {
			for i := range 150 {
				if i%2 == 0 {
					r.write(t, "new", "new")
				} else {
					r.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
				}
				r.recheck(200 * time.Millisecond)
			}
		})
		t.Logf("%d requests in 30 seconds", n)
		if n > 4 {
			t.Errorf("got %d requests in 30 seconds, want fewer", n)
		}
		if open := r.store.unclosed(); open > 40 {
			t.Errorf("got %d open entries, want fewer", open)
		}
	})
}

// Half of the fleet sees the change late: both pairs are used, each with one leader.
func TestFleetWithTwoPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 50)
		r.at(20 * time.Second)
		r.login.setPair("new", "new", true)
		r.write(t, "new", "new")
		for _, b := range r.brokers[:25] {
			b.ReloadCredentials()
		}
		r.pass(5 * time.Second)
		if n := r.requestsDuring(func() { r.pass(3000 * time.Second) }); n > 28 {
			t.Errorf("got %d requests in ten lifetimes, want fewer", n)
		}
		if n := len(r.leaders()); n != 2 {
			t.Errorf("got %d leaders, want 2", n)
		}
	})
}

func TestEndlessNotificationsAreNoStorm(t *testing.T) {
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
				before := f.store.getCount()
				for range 1000 {
					f.store.notifyAll()
					time.Sleep(time.Millisecond)
				}
				n := f.store.getCount() - before
				t.Logf("%d requests to the store in a second", n)
				if n > 50*tc.most+50 || n < 30 {
					t.Errorf("got %d requests to the store in a second, want %d at most", n, 50*tc.most+50)
				}
			})
		})
	}
}

// Brokers with wrong clocks neither lose their token nor cause a storm.
func TestWrongClocksDoNoHarm(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, -280 * time.Second, 50 * time.Second, 200 * time.Second, 280 * time.Second, time.Hour} {
		for _, wrong := range []int{1, 2, 10} {
			t.Run(fmt.Sprintf("%v, of %d", ahead, wrong), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store := newMemoryStore()
					f := newFleetWith(t, 20, 300*time.Second, store, func(i int, config *tokensource.Config) {
						if i < wrong {
							config.Store = memoryView{store, ahead}
						}
					})
					f.at(time.Second)
					n := f.requestsDuring(func() { f.at(1500 * time.Second) })
					t.Logf("%d requests in five lifetimes", n)
					if n > 15+10*wrong {
						t.Errorf("got %d requests in five lifetimes, want fewer", n)
					}
				})
			})
		}
	}
}

// TestManyAccountsWithSlowStore has 500 accounts of one broker share the slots for token requests.
func TestManyAccountsWithSlowStore(t *testing.T) {
	for name, tc := range map[string]struct {
		fault storeFault
		lag   time.Duration
	}{
		"a second, and an error": {slow, 0},
		"half a second":          {healthy, time.Second / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slots := make(chan struct{}, 8)
				store := newMemoryStore()
				store.fault, store.lag, store.careful = tc.fault, tc.lag, true
				f := newFleetWith(t, 500, 300*time.Second, store, func(i int, config *tokensource.Config) {
					config.FetchSemaphore = slots
					config.Credentials = fixed(fmt.Sprint("client", i), "secret")
				})
				for i := range 500 {
					f.login.setPair(fmt.Sprint("client", i), "secret", true)
				}
				for f.start(); f.withoutToken() > 0; f.pass(time.Second) {
				}
				t.Logf("all have a token after %v", time.Since(f.began))
				f.step = 10 * time.Second // a gap is seen all the same
				f.pass(400 * time.Second)
			})
		})
	}
}
