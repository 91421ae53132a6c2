package tokensource_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/tokensource"
)

func TestStoppedLeaderReleasesLease(t *testing.T) {
	t.Parallel()
	t.Run("in its first request", func(t *testing.T) {
		inBubble(t, 300*time.Second, func(f *fleet) {
			f.login.setDelay(2 * time.Second)
			f.at(time.Second)
			leader := f.fetching()
			if len(leader) != 1 {
				t.Fatalf("got %d brokers with a token request, want 1", len(leader))
			}
			leader[0].stop()
			for _, c := range f.store.contents {
				if c.lease.FencingToken != 0 {
					t.Errorf("got the lease %+v, want it to be free", c.lease)
				}
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
	t.Parallel()
	vanish := func(f *fleet, lease time.Duration) {
		peer, fence := f.peer()
		if ok, err := peer.Acquire(context.Background(), tokensource.Lease{FencingToken: fence, Remaining: lease}); err != nil || !ok {
			t.Fatalf("the peer has no lease: %v", err)
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
	t.Parallel()
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
	t.Parallel()
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

// Of two brokers, the one that has failed lets the other one try long before their token ends.
func TestFailedLeaderLetsOthersTryFirst(t *testing.T) {
	t.Parallel()
	for range 20 {
		inBubbleOf(t, 2, 300*time.Second, func(f *fleet) {
			f.at(150 * time.Second)
			f.leaders()[0].path.set(disconnected)
			n := f.requestsDuring(func() { f.at(270 * time.Second) })
			if n != 1 {
				t.Errorf("got %d token requests of the other broker before the token is 270 s old, want 1", n)
			}
		})
	}
}
