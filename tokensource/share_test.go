package tokensource_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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

func TestAColdStartAsksOnce(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(150 * time.Millisecond) // of which the login server takes 100
		if n := f.without(); n != 0 {
			t.Errorf("%d have no token", n)
		}
		f.at(time.Minute)
		if n := f.login.count(); n != 1 {
			t.Errorf("%d token requests", n)
		}
		if n := f.store.operations(); n > 4*50 {
			t.Errorf("%d operations of the store", n)
		}
		f.checkCounters()
	})
}

// The message is lost: those who wait ask.
func TestAColdStartOfTheDeaf(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.store.setDeaf(true)
		f.at(1600 * time.Millisecond)
		if n := f.without(); n != 0 || f.login.count() != 1 {
			t.Errorf("%d have no token, after %d token requests", n, f.login.count())
		}
		if n := f.asked(func() { f.at(1501 * time.Second) }); n > 6 {
			t.Errorf("%d token requests in five lifetimes", n)
		}
	})
}

func TestAFleetAsksOnceALifetime(t *testing.T) {
	for _, lifetime := range []time.Duration{300 * time.Second, 5 * time.Second, time.Second} {
		t.Run(lifetime.String(), func(t *testing.T) {
			inBubble(t, lifetime, func(f *fleet) {
				f.login.setDelay(min(lifetime/50, time.Second)) // without a token, nobody waits for six
				f.at(lifetime / 10)
				f.login.setDelay(lifetime / 50)
				for range 100 {
					f.pass(lifetime / 10)
					if n := len(f.leaders()); n != 1 {
						// Between a Put and the moment at which the one before has seen it, there are two.
						f.pass(lifetime / 20)
						if n := len(f.leaders()); n != 1 {
							t.Errorf("at %v %d lead", time.Since(f.began), n)
						}
					}
				}
				// A token is replaced at 80 % of its lifetime.
				if n := f.login.count(); n < 12 || n > 14 {
					t.Errorf("%d token requests in ten lifetimes", n)
				}
				if n := f.store.operations(); n > 14*50*6 {
					t.Errorf("%d operations of the store", n)
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
					t.Errorf("%d tokens came from the store, want %d at least; %d waits", hits, want, waits)
				}
			})
		})
	}
}

func TestTheLeaderStops(t *testing.T) {
	t.Run("in its first request", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.login.setDelay(2 * time.Second)
			f.at(time.Second)
			leader := f.fetching()
			if len(leader) != 1 {
				t.Fatalf("%d ask", len(leader))
			}
			leader[0].stop()
			if f.store.leased() {
				t.Error("the lease is kept")
			}
			f.at(4600 * time.Millisecond) // a pause of up to 1.5 s, and the request
			if n := f.without(); n != 0 || f.login.count() != 2 {
				t.Errorf("%d have no token after %d requests", n, f.login.count())
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
				t.Errorf("%d requests", n)
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
				t.Errorf("%d requests in 30 lifetimes", n)
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
	t.Run("while it leaves the token", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.login.setDelay(2 * time.Second)
			f.at(1900 * time.Millisecond)
			f.store.setLag(500 * time.Millisecond)
			f.at(2200 * time.Millisecond)
			for _, b := range f.brokers {
				if _, has := b.Current(); has || b.Snapshot().HoldsLease {
					t.Fatal("it is too late")
				}
			}
			f.brokers[f.leaderByWay()].stop()
			f.at(5 * time.Second)
			if n := f.without(); n != 0 || f.login.count() != 1 {
				t.Errorf("%d have no token after %d requests", n, f.login.count())
			}
		})
	})
}

// leaderByWay is the one that has asked the login server.
func (f *fleet) leaderByWay() int {
	for i, b := range f.brokers {
		if b.way.tries() > 0 {
			return i
		}
	}
	return -1
}

// A leader that was killed, or has lost its network, keeps the lease until its end.
func TestTheLeaderVanishes(t *testing.T) {
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
				f.at(lifetime * 70 / 100)
				vanish(f, min(15*time.Second, lifetime*3/40))
				n := f.asked(func() { f.pass(lifetime) })
				if n > 40 {
					t.Errorf("%d requests", n)
				}
				t.Logf("%d requests in the lifetime", n)
				if n := f.asked(func() { f.pass(15*time.Second + 10*lifetime) }); n > 20+40*int(15*time.Second/lifetime) {
					t.Errorf("%d requests afterwards", n)
				} else {
					t.Logf("%d requests in 15 s and ten lifetimes", n)
				}
				if n := f.asked(func() { f.pass(10 * lifetime) }); n > 14 {
					t.Errorf("%d requests at last", n)
				}
			})
		})
	}
	t.Run("at the start", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			vanish(f, 15*time.Second)
			f.at(16200 * time.Millisecond)
			if n := f.without(); n != 0 || f.login.count() > 10 {
				t.Errorf("%d have no token after %d requests", n, f.login.count())
			}
		})
	})
}

func TestTheLeaderHangs(t *testing.T) {
	for _, lifetime := range []time.Duration{300 * time.Second, 30 * time.Second, 5 * time.Second} {
		t.Run(lifetime.String(), func(t *testing.T) {
			inBubble(t, lifetime, func(f *fleet) {
				f.at(lifetime / 2)
				leader := f.leaders()[0]
				leader.way.set(hangs)
				leader.mayLack = lifetime < 50*time.Second // it waits ten seconds, and does not look into the store meanwhile
				if n := f.asked(func() { f.pass(lifetime) }); n > 30 {
					t.Errorf("%d requests", n)
				} else {
					t.Logf("%d requests in the lifetime", n)
				}
				f.pass(15 * time.Second)
				if n := f.asked(func() { f.pass(10 * lifetime) }); n > 15 {
					t.Errorf("%d requests in ten lifetimes", n)
				}
			})
		})
	}
}

// TestAnOutageCostsAFleetWhatItCostsOne compares with one broker that is alone.
func TestAnOutageCostsAFleetWhatItCostsOne(t *testing.T) {
	for _, tc := range []struct {
		name        string
		lifetime    time.Duration
		from, lasts time.Duration
		most        int // requests of the fleet
		fault       string
	}{
		{"ten seconds", 300 * time.Second, 238 * time.Second, 10 * time.Second, 8, isDown},
		// Mostly 20. But who first asks late has not seen the failures before, and begins to count anew: then, at times, each
		// tries once.
		{"all that is left of the token", 300 * time.Second, 200 * time.Second, 95 * time.Second, 75, isDown},
		{"ten minutes", 300 * time.Second, 100 * time.Second, 10 * time.Minute, 110, isDown},
		// The first failure leaves no time for another one's turn: each tries once.
		{"a minute, with tokens of five seconds", 5 * time.Second, 12 * time.Second, time.Minute, 80, isDown},
		{"ten minutes from the start", 300 * time.Second, 0, 10 * time.Minute, 60, isDown},
		// Each tries once after a few seconds. Then they take turns of ten seconds, and of a pause.
		{"ten minutes without an answer from the start", 300 * time.Second, 0, 10 * time.Minute, 90, hangs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, n := range []int{1, 50} {
				synctest.Test(t, func(t *testing.T) {
					store := newMemoryStore()
					if n == 1 {
						store = nil
					}
					f := newFleet(t, n, tc.lifetime, store)
					for _, b := range f.brokers {
						b.mayLack = tc.from+tc.lasts > tc.lifetime
					}
					if tc.from > 0 {
						f.at(tc.from)
					}
					f.login.set(tc.fault)
					asked := f.asked(func() { f.pass(tc.lasts) })
					f.login.set("")
					began := time.Now()
					after := f.asked(func() {
						for f.pass(100 * time.Millisecond); f.without() > 0; f.pass(100 * time.Millisecond) {
							if time.Since(began) > time.Minute {
								t.Fatalf("%d have no token a minute after the outage", f.without())
							}
						}
					})
					t.Logf("%d brokers: %d requests in the outage, all have a token %v after it, with %d requests", n, asked, time.Since(began), after)
					most := 32 * time.Second
					if tc.fault == hangs {
						most += 10 * time.Second // until the request under way has failed
					}
					if n > 1 && asked > tc.most || n > 1 && time.Since(began) > most {
						t.Errorf("%d brokers made %d requests, and are well %v after", n, asked, time.Since(began))
					}
				})
			}
		})
	}
}

func TestRejectedCredentialsOfAFleet(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.login.set(rejects)
		f.at(500 * time.Millisecond)
		f.pass(time.Second)
		for i, b := range f.brokers {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			began := time.Now()
			_, err := b.Wait(ctx)
			if none := noToken(t, err); !isRejected(none) || time.Since(began) != 0 || !strings.Contains(none.Hint, "SSO Client Management") || none.RetryAfter > 32*time.Second && b.way.tries() == 0 {
				t.Errorf("broker %d: %v", i, none)
			}
			cancel()
		}
		f.at(10 * time.Minute)
		t.Logf("%d requests in 10 minutes", f.login.count())
		if n := f.login.count(); n > 25 {
			t.Errorf("%d requests in 10 minutes", n)
		}
		if longest := f.store.longest(); longest > 30*time.Second {
			t.Errorf("nobody may try for %v", longest)
		}
		f.login.set("")
		f.pass(32 * time.Second)
		if n := f.without(); n != 0 {
			t.Errorf("%d have no token yet", n)
		}
		f.checkCounters()
	})
}

// Some have no way to the login server: the others fetch for them, and lose nothing.
func TestTheSickAreServedByOthers(t *testing.T) {
	for _, sickness := range []string{isCut, forbids, hangs, isDown} {
		for _, share := range []int{50, 2} { // each of so many, and the leader
			for _, lifetime := range []time.Duration{300 * time.Second, 5 * time.Second} {
				t.Run(fmt.Sprintf("%s for each %dth, %v", sickness, share, lifetime), func(t *testing.T) {
					t.Parallel()
					inBubble(t, lifetime, func(f *fleet) {
						f.at(lifetime / 2)
						sick := f.leaders()
						for i, b := range f.brokers {
							if share > 1 && i%share == 0 {
								sick = append(sick, b)
							}
						}
						for _, b := range sick {
							b.way.set(sickness)
							// One that waits ten seconds for an answer does not look into the store meanwhile.
							b.mayLack = sickness == hangs && lifetime < 50*time.Second
						}
						n := f.asked(func() { f.pass(10 * lifetime) })
						t.Logf("%d requests in ten lifetimes", n)
						if n > 150 {
							t.Errorf("%d requests in ten lifetimes", n)
						}
						if most := 50 * 80; f.tries() > most {
							t.Errorf("%d tries", f.tries())
						}
					})
				})
			}
		}
	}
}

func (f *fleet) tries() (n int) {
	for _, b := range f.brokers {
		n += b.way.tries()
	}
	return n
}

// A sick one that is the first to ask keeps the others from it for some seconds.
func TestTheSickOneIsTheFirst(t *testing.T) {
	for sickness, most := range map[string]time.Duration{isCut: 6 * time.Second, isDown: 6 * time.Second, hangs: 14 * time.Second, forbids: 6 * time.Second} {
		t.Run(sickness, func(t *testing.T) {
			inBubble(t, 300*time.Second, func(f *fleet) {
				f.brokers[7].way.set(sickness)
				f.brokers[7].start()
				synctest.Wait()
				f.start()
				for f.without() > 1 {
					f.pass(100 * time.Millisecond)
				}
				took := time.Since(f.began)
				t.Logf("after %v, %d requests", took, f.login.count())
				if took > min(most, 6*time.Second) || f.login.count() > 10 {
					t.Errorf("after %v, %d requests", took, f.login.count())
				}
				f.at(most + 2*time.Second)
				if n := f.without(); n != 0 {
					t.Error("the sick one has none")
				}
			})
		})
	}
}

// Of two brokers, the one that has failed lets the other one try.
func TestWhoHasFailedLetsOthersGoFirst(t *testing.T) {
	for range 20 {
		inBubbleOf(t, 2, 300*time.Second, func(f *fleet) {
			f.brokers[0].way.set(hangs)
			f.brokers[0].start()
			synctest.Wait()
			f.at(14 * time.Second) // ten until it fails, a pause of two, and up to one for the other
			if n := f.without(); n != 0 {
				t.Errorf("%d have no token", n)
			}
		})
	}
}

// TestTheStoreIsNeverANeed breaks the store in every way: nobody is without a token after the first, the requests are
// spread, and afterwards all is as before.
func TestTheStoreIsNeverANeed(t *testing.T) {
	for _, fault := range append([]storeFault{away, slow}, invalidReplies...) {
		for _, lifetime := range []time.Duration{300 * time.Second, 5 * time.Second} {
			if fault == oldFailure && lifetime < time.Minute {
				continue // its pause is half a minute
			}
			for _, when := range []string{"at the start", "in the middle"} {
				t.Run(fmt.Sprintf("%s, %s, %v", fault, when, lifetime), func(t *testing.T) {
					t.Parallel()
					n := 30
					if lifetime < time.Minute {
						n = 10
					}
					inBubbleOf(t, n, lifetime, func(f *fleet) { f.breakStore(fault, when == "at the start", lifetime) })
				})
			}
		}
	}
}

func (f *fleet) breakStore(fault storeFault, atStart bool, lifetime time.Duration) {
	f.t.Helper()
	if !atStart {
		f.at(lifetime / 2)
	}
	f.store.set(fault)
	f.pass(lifetime / 2)
	if atStart {
		f.pass(5 * time.Second)
		// A store that says that another one has failed is believed for as long as a pause.
		if waits := []storeFault{oldLease, oldFailure, manyLeases}; f.without() > 0 && !slices.Contains(waits, fault) {
			f.t.Errorf("%d have no token", f.without())
		}
		f.pass(100 * time.Second)
	}
	first := f.login.count()
	n := f.asked(func() { f.pass(3 * lifetime) })
	if n > 3*len(f.brokers)*3/2 {
		f.t.Errorf("%d requests in three lifetimes without a store", n)
	}
	burst := f.login.busiest(100*time.Millisecond, first)
	f.t.Logf("%d requests in three lifetimes, %d in 100 ms", n, burst)
	if lifetime == 300*time.Second && burst > 12 {
		f.t.Errorf("%d requests in 100 ms", burst)
	}
	if n := f.without(); n != 0 {
		f.t.Errorf("%d have no token after three lifetimes", n)
	}
	for i, b := range f.brokers {
		if (fault == away || fault == slow) && b.Snapshot().StoreErrors == 0 {
			f.t.Errorf("broker %d has asked in vain, and does not say so", i)
		}
	}
	f.store.set(healthy)
	f.pass(lifetime + 30*time.Second)
	if n := f.asked(func() { f.pass(2 * lifetime) }); n > 4 {
		f.t.Errorf("%d requests in two lifetimes afterwards", n)
	}
	f.checkCounters()
}

func TestAStoreThatHoldsTheLeaseDelaysAStartByFiveSeconds(t *testing.T) {
	for _, lag := range []time.Duration{0, 900 * time.Millisecond} {
		t.Run(lag.String(), func(t *testing.T) {
			t.Parallel()
			const n = 500
			inBubbleOf(t, n, 300*time.Second, func(f *fleet) {
				f.store.set(heldForEver)
				f.store.setLag(lag)
				f.at(5 * time.Second)
				if got := f.login.count(); got != n {
					t.Errorf("%d of %d brokers have asked the login server after 5 s", got, n)
				}
				f.pass(f.login.delay + lag) // a broker leaves the token in the store before it uses it
				if got := f.without(); got != 0 {
					t.Errorf("%d of %d brokers have no token", got, n)
				}
				if got, want := f.login.busiest(100*time.Millisecond, 0), n/4; got > want {
					t.Errorf("%d of %d brokers fetch within 100 ms, want %d at most", got, n, want)
				}
				if got := f.asked(func() { f.at(230 * time.Second) }); got != 0 {
					t.Errorf("%d more requests before the tokens are due, want 0", got)
				}
			})
		})
	}
}

// Those who stand alone in an outage do so once, and not as often as they would without a store.
func TestStandingAloneIsDoneOnce(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(150 * time.Second)
		f.store.set(heldForEver)
		f.login.set(isDown)
		if n := f.asked(func() { f.at(299 * time.Second) }); n != 50 {
			t.Errorf("%d requests of 50 brokers", n)
		}
	})
}

func TestTheStoreLosesAll(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(100 * time.Second)
		for range 10 {
			f.store.lose()
			f.pass(100 * time.Second)
		}
		f.pass(2000 * time.Second)
		if n := f.login.count(); n > 20 {
			t.Errorf("%d requests in ten lifetimes", n)
		}
	})
}

// The store comes and goes all the time.
func TestTheStoreFlaps(t *testing.T) {
	for _, fault := range []storeFault{away, slow, heldForEver, swallowsPuts, expiredFailure, expiringToken} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			inBubbleOf(t, 20, 30*time.Second, func(f *fleet) {
				random := rand.New(rand.NewPCG(1, 2))
				f.at(time.Second)
				n := f.asked(func() {
					for range 60 {
						f.store.set(fault)
						f.pass(time.Duration(random.Int64N(int64(10 * time.Second))))
						f.store.set(healthy)
						f.pass(time.Duration(random.Int64N(int64(10 * time.Second))))
					}
				})
				if n > 20*20 { // 20 lifetimes
					t.Errorf("%d requests", n)
				}
				t.Logf("%d requests in 20 lifetimes", n)
			})
		})
	}
}

func TestA401IsShared(t *testing.T) {
	for name, many := range map[string]int{"one": 1, "all at once": 50} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 300*time.Second, func(f *fleet) {
				f.at(30 * time.Second)
				sent, _ := f.brokers[0].Current()
				if many > 1 {
					f.login.setLifetime(60 * time.Second) // the new token is none the worse for living shorter than a refused one
				}
				for _, b := range f.brokers[:many] {
					if !b.Invalidate(sent) {
						t.Fatal("it is kept")
					}
				}
				var waiting sync.WaitGroup
				for _, b := range f.brokers[:many] {
					waiting.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), time.Second)
						defer cancel()
						if value, err := b.WaitNewer(ctx, sent); err != nil || value == sent {
							t.Errorf("no other token")
						}
					})
				}
				waiting.Wait()
				if took := time.Since(f.began) - 30*time.Second; took > 150*time.Millisecond {
					t.Errorf("those who were refused waited %v", took)
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
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// An API that refuses every token costs one request in ten seconds, of all brokers together.
func TestAPermanent401OfAFleetIsNoStorm(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(20 * time.Second)
		n := f.asked(func() {
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
			t.Errorf("%d requests in a minute", n)
		}
	})
}

func TestTheMinimumAgeCountsFromTheRequest(t *testing.T) {
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

// One that comes later takes what is there.
func TestLatecomersAskNothing(t *testing.T) {
	inBubble(t, 300*time.Second, func(f *fleet) {
		for range 30 {
			f.pass(31 * time.Second)
			b := f.add(func(*tokensource.Config) {})
			b.start()
			time.Sleep(time.Millisecond)
			if _, ok := b.Current(); !ok {
				t.Error("a latecomer waits")
			}
		}
		if n := f.login.count(); n > 5 {
			t.Errorf("%d requests in 930 s", n)
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

// recheck has all see the change, within such a time.
func (r *rotating) recheck(within time.Duration) {
	for _, i := range rand.Perm(len(r.brokers)) {
		r.brokers[i].ReloadCredentials()
		r.pass(within / time.Duration(len(r.brokers)))
	}
}

func TestAFleetRotates(t *testing.T) {
	for _, within := range []time.Duration{0, 10 * time.Second} {
		t.Run(within.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotating(t, 50)
				r.at(20 * time.Second)
				r.login.setPair("new", "new", true)
				r.write(t, "new", "new")
				n := r.asked(func() {
					r.recheck(within)
					r.pass(3 * time.Second)
				})
				if n > 2 {
					t.Errorf("%d requests", n)
				}
				for i, b := range r.brokers {
					if b.Snapshot().Reloads != [3]uint64{1, 0, 0} || b.Snapshot().PendingReload != nil {
						t.Errorf("broker %d: %+v", i, b.Snapshot())
					}
				}
				if open := r.store.unclosed(); open != 50 {
					t.Errorf("%d places are open", open)
				}
				if n := r.asked(func() { r.pass(3000 * time.Second) }); n > 14 || r.login.countOf("new") < n {
					t.Errorf("%d requests in ten lifetimes, %d of the new client", n, r.login.countOf("new"))
				}
			})
		})
	}
}

func TestAFleetRotatesToAWrongPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 50)
		r.at(20 * time.Second)
		r.write(t, "wrong", "wrong")
		r.recheck(5 * time.Second)
		r.pass(10 * time.Minute)
		t.Logf("%d requests of the wrong pair in 10 minutes", r.login.countOf("wrong"))
		if n := r.login.countOf("wrong"); n > 25 {
			t.Errorf("%d requests of the wrong pair in 10 minutes", n)
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
			t.Errorf("%d places are open", open)
		}
	})
}

// Somebody enables the client: those who have not been rejected themselves try soon, the others within their five minutes.
func TestAWrongPairOfAFleetBecomesRight(t *testing.T) {
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
			t.Errorf("%d use the new pair, of 50, of which %d were rejected", n, rejected)
		}
		r.pass(5 * time.Minute)
		if n := switched(); n != 50 {
			t.Errorf("%d use the new pair", n)
		}
	})
}

func TestAPairThatGoesBackAndForthIsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 20)
		r.at(20 * time.Second)
		r.login.setPair("new", "new", true)
		n := r.asked(func() {
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
			t.Errorf("%d requests in 30 seconds", n)
		}
		if open := r.store.unclosed(); open > 40 {
			t.Errorf("%d places are open", open)
		}
	})
}

// Half of the fleet sees the change late: both pairs serve, each with one who leads.
func TestAFleetOfTwoPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotating(t, 50)
		r.at(20 * time.Second)
		r.login.setPair("new", "new", true)
		r.write(t, "new", "new")
		for _, b := range r.brokers[:25] {
			b.ReloadCredentials()
		}
		r.pass(5 * time.Second)
		if n := r.asked(func() { r.pass(3000 * time.Second) }); n > 28 {
			t.Errorf("%d requests in ten lifetimes", n)
		}
		if n := len(r.leaders()); n != 2 {
			t.Errorf("%d lead", n)
		}
	})
}

func TestToldWithoutEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		fault string
		most  int // looks of a broker, in a second
	}{
		"with a token":    {"", 2},
		"without a token": {isDown, 10},
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
				t.Logf("%d looks in a second", n)
				if n > 50*tc.most+50 || n < 30 {
					t.Errorf("%d looks in a second", n)
				}
			})
		})
	}
}

// TestClocksApart holds that brokers whose clocks are wrong do no harm to each other.
func TestClocksApart(t *testing.T) {
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
					n := f.asked(func() { f.at(1500 * time.Second) })
					t.Logf("%d requests in five lifetimes", n)
					if n > 15+10*wrong {
						t.Errorf("%d requests in five lifetimes", n)
					}
				})
			})
		}
	}
}

// TestManyAccountsAndASlowStore has 500 accounts share the slots of one broker.
func TestManyAccountsAndASlowStore(t *testing.T) {
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
				for f.start(); f.without() > 0; f.pass(time.Second) {
				}
				t.Logf("all have a token after %v", time.Since(f.began))
				f.step = 10 * time.Second // a gap is seen all the same
				f.pass(400 * time.Second)
			})
		})
	}
}
