package tokensource_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestSlowLoginServerYieldsTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
		r.server.SetTokenDelay(12 * time.Second)
		if took, err := r.wait(time.Minute); err != nil || took != 12*time.Second {
			t.Fatalf("waited %v: %v, want a token after 12s", took, err)
		}
		for time.Since(r.began) < 10*time.Minute {
			if _, _, ok := r.Current(); !ok {
				t.Fatalf("no token after %v", time.Since(r.began))
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A login server that accepts connections and never answers is found again within five seconds, although requests hang on.
func TestFindsLoginServerThatHung(t *testing.T) {
	for name, began := range map[string]time.Duration{"from the start": 0, "at a refresh": time.Second} {
		for _, shared := range []bool{false, true} {
			for healed := 45 * time.Second; healed < 110*time.Second; healed += 1700 * time.Millisecond {
				t.Run(fmt.Sprintf("%s, until %v, shared %v", name, healed, shared), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, fakeetrusted.Options{Lifetime: 40 * time.Second}, func(config *tokensource.Config) {
							if shared {
								config.Store = newMemoryStore()
							}
						})
						if began > 0 {
							r.at(began)
						}
						r.server.SetTokenFault(fakeetrusted.Hang())
						time.AfterFunc(healed, func() { r.server.SetTokenFault(nil) }) // for new requests only
						r.at(began + 41*time.Second)
						if _, err := r.wait(5 * time.Minute); err != nil {
							t.Fatal(err)
						}
						const limit = 5 * time.Second
						if took := time.Since(r.began) - began - healed; took > limit {
							t.Errorf("got a token %v after the login server had healed, want at most %v", took, limit)
						}
					})
				})
			}
		}
	}
}

// A broker whose token request hangs takes the token of another that has found the login server.
func TestFleetFindsLoginServerThatHung(t *testing.T) {
	for _, brokers := range []int{2, 3, 5} {
		for healed := 10 * time.Second; healed < 70*time.Second; healed += 1700 * time.Millisecond {
			t.Run(fmt.Sprintf("%d brokers, until %v", brokers, healed), func(t *testing.T) {
				t.Parallel()
				inBubbleOf(t, brokers, 300*time.Second, func(f *fleet) {
					f.login.set(hangs)
					f.at(healed)
					f.login.set("") // for new requests only
					f.step = 10 * time.Millisecond
					for f.withoutToken() > 0 {
						f.pass(f.step)
					}
					limit := 5*time.Second + 2*f.login.delay // from one request to the next, and then the time of one
					if took := time.Since(f.began) - healed; took > limit {
						t.Errorf("the last broker has a token %v after the login server has healed, want at most %v", took, limit)
					}
				})
			})
		}
	}
}

// Refreshes that hang, and need no second request because their tokens are valid for long, do not keep other accounts from finding a
// login server that hung.
func TestHangingRefreshesMakeRoomForOthers(t *testing.T) {
	for healed := 236 * time.Second; healed < 270*time.Second; healed += 1700 * time.Millisecond {
		t.Run(healed.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				slots := make(chan struct{}, 8)
				f := newFleet(t, 60, 300*time.Second, nil, func(_ int, config *tokensource.Config) { config.FetchSemaphore = slots })
				for _, b := range f.brokers[:20] {
					b.start()
				}
				time.Sleep(200 * time.Second) // the refreshes are due after 210 s to 240 s
				f.login.set(hangs)
				time.Sleep(35 * time.Second)
				f.start()
				var waiting sync.WaitGroup
				for _, b := range f.brokers {
					waiting.Go(func() { _, _, _ = b.Wait(t.Context()) })
				}
				time.Sleep(time.Until(f.began.Add(healed)))
				f.login.set("") // for new requests only
				waiting.Wait()
				if took, limit := time.Since(f.began)-healed, 5*time.Second+f.login.delay; took > limit {
					t.Errorf("the last account has a token %v after the login server has healed, want at most %v", took, limit)
				}
			})
		})
	}
}

// The API accepts a refused token perhaps nowhere, so its lifetime does not count.
func TestRefusedTokenMakesSecondRequestNecessary(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 300*time.Second, nil)
		f.at(time.Minute)
		f.login.set(hangs)
		b := f.brokers[0]
		if sent, _, _ := b.Current(); !b.Invalidate(sent) {
			t.Fatal("Invalidate = false, want true")
		}
		f.at(66 * time.Second)
		if n := f.login.inFlight; n != 2 {
			t.Errorf("got %d token requests in flight after 6 s, want 2", n)
		}
	})
}

func TestSecondRequestRunsOnlyWhileTokenIsNeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 300*time.Second, nil)
		f.mayLoseTokens()
		f.at(time.Second)
		f.login.set(hangs)
		f.at(267 * time.Second)
		for f.login.inFlight == 0 && time.Since(f.began) < 269*time.Second { // a pause lasts for 2 s at most
			f.pass(100 * time.Millisecond)
		}
		_, closed := f.brokers[0].path.counts()
		if n := f.login.inFlight; n != 1 || closed != 0 {
			t.Errorf("got %d token requests in flight with more than 30 s of the token left, and %d new connections, want 1 and 0", n, closed)
		}
		before := f.login.count()
		f.at(469 * time.Second)
		requests := f.login.all()[before:]
		most := slices.MaxFunc(requests, func(a, b tokenRequest) int { return a.inFlight - b.inFlight })
		if most.inFlight != 2 {
			t.Errorf("got %d token requests at once, want 2", most.inFlight)
		}
		// In 31 s to 60 s, one request and five beside it.
		_, closed = f.brokers[0].path.counts()
		if n := len(requests); n < 15 || n > 42 || closed < n*3/4 {
			t.Errorf("got %d token requests in 200 s, %d on new connections, want 15 to 42, and five of six", n, closed)
		}
		f.stop()
		if n := f.login.inFlight; n != 0 {
			t.Errorf("got %d token requests in flight after the end, want 0", n)
		}
	})
}
