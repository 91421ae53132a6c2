package tokensource_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// longestWait returns how long requests wait at most from a moment on. They arrive until there has been a token for a while.
func (f *fleet) longestWait(from time.Time) (longest time.Duration) {
	f.t.Helper()
	var waiting sync.WaitGroup
	var mu sync.Mutex
	for fine := 0; fine < 50; fine++ {
		for _, b := range f.brokers {
			if _, _, ok := b.Current(); ok {
				continue
			}
			fine = 0
			waiting.Go(func() {
				began := time.Now()
				if from.After(began) {
					began = from
				}
				_, _, _ = b.Wait(f.t.Context())
				mu.Lock()
				defer mu.Unlock()
				longest = max(longest, time.Since(began))
			})
		}
		if time.Since(from) > 10*time.Minute {
			f.t.Fatal("no token ten minutes later")
		}
		f.pass(100 * time.Millisecond)
	}
	waiting.Wait()
	return longest
}

// While a login server hangs, the files get a pair that it does not know. It is found again as soon as without the change.
func TestWrongChangeDoesNotHideHealedLoginServer(t *testing.T) {
	for _, shared := range []bool{false, true} {
		for healed := 62 * time.Second; healed < 140*time.Second; healed += 2300 * time.Millisecond {
			t.Run(fmt.Sprintf("shared %v, until %v", shared, healed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n, store := 1, (*memoryStore)(nil)
					if shared {
						n, store = 3, newMemoryStore()
					}
					f := newFileFleet(t, n, 60*time.Second, store)
					f.mayLoseTokens()
					f.at(30 * time.Second)
					f.login.set(hangs)
					f.write(t, "new", "wrong")
					for _, b := range f.brokers {
						b.ReloadCredentials()
					}
					time.AfterFunc(healed-30*time.Second, func() { f.login.set("") }) // for new requests only
					f.at(61 * time.Second)
					if got, limit := f.longestWait(f.began.Add(healed)), 5500*time.Millisecond; got > limit {
						t.Errorf("a request waited %v after the login server had healed, want at most %v", got, limit)
					}
				})
			})
		}
	}
}

// A store that fails in an outage of the login server delays requests by the time that brokers wait for it, and spread their own
// token requests.
func TestStoreThatFailsInOutageDelaysRequestsBriefly(t *testing.T) {
	for _, fault := range []string{isDown, hangs} {
		for storeFault, delay := range map[storeFault]time.Duration{away: time.Second, slow: 3 * time.Second, heldForEver: 3 * time.Second} {
			for seed := range uint64(10) {
				t.Run(fmt.Sprintf("%s, %s, %d", fault, storeFault, seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						random := rand.New(rand.NewPCG(seed, 9))
						f := newFleet(t, 3, 60*time.Second, newMemoryStore())
						f.mayLoseTokens()
						f.at(30 * time.Second)
						f.login.set(fault)
						f.at(61 * time.Second)
						outage := time.Second + time.Duration(random.Int64N(int64(time.Minute)))
						time.AfterFunc(time.Duration(random.Int64N(int64(outage))), func() { f.store.set(storeFault) })
						time.AfterFunc(outage, func() { f.login.set("") })
						if got, limit := f.longestWait(time.Now().Add(outage)), 5500*time.Millisecond+delay; got > limit {
							t.Errorf("a request waited %v after the login server had healed, want at most %v", got, limit)
						}
					})
				})
			}
		}
	}
}

// A token that the API refuses while its refresh hangs is replaced soon after the login server has healed. If the broker with the lease
// does not know that the token is refused, the others wait for that lease and its pause.
func TestTokenRevokedWhileRefreshHangsIsReplacedSoon(t *testing.T) {
	for _, tc := range []struct {
		shared, allRefused bool
		limit              time.Duration
	}{{false, true, 5500 * time.Millisecond}, {true, true, 5500 * time.Millisecond}, {true, false, 17500 * time.Millisecond}} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%+v, %d", tc, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(seed, 9))
					n, store := 1, (*memoryStore)(nil)
					if tc.shared {
						n, store = 3, newMemoryStore()
					}
					f := newFleet(t, n, 300*time.Second, store)
					f.mayLoseTokens()
					f.at(205 * time.Second)
					f.login.set(hangs)
					f.pass(time.Duration(random.Int64N(int64(time.Minute)))) // refreshes are due after 210 s to 240 s
					refused, _, _ := f.brokers[0].Current()
					healed := time.Now().Add(time.Duration(random.Int64N(int64(20 * time.Second))))
					time.AfterFunc(time.Until(healed), func() { f.login.set("") }) // for new requests only
					for replaced := false; !replaced; f.pass(100 * time.Millisecond) {
						replaced = true
						for i, b := range f.brokers {
							if sent, _, _ := b.Current(); sent == refused && (i == 0 || tc.allRefused) {
								b.Invalidate(sent)
								replaced = false
							}
						}
					}
					if got := time.Since(healed); got > tc.limit {
						t.Errorf("the refused token was sent %v after the login server had healed, want at most %v", got, tc.limit)
					}
				})
			})
		}
	}
}

// Tokens of the store that cannot be used do not end the token request of a broker whose login server is slow.
func TestUnusableTokensDoNotEndSlowRequest(t *testing.T) {
	t.Parallel()
	for _, fault := range []storeFault{oddToken, longToken, expiredToken, expiringToken} {
		t.Run(string(fault), func(t *testing.T) {
			inBubbleOf(t, 1, 300*time.Second, func(f *fleet) {
				f.login.setDelay(20 * time.Second)
				f.store.set(fault)
				f.at(21 * time.Second)
				if n := f.withoutToken(); n != 0 {
					t.Error("the broker has no token after 21 s, want one: the login server takes 20 s")
				}
			})
		})
	}
}
