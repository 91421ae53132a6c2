package tokensource_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestSlowLoginServerYieldsTokens(t *testing.T) {
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
						r := newRigWith(t, fakeetrusted.Options{Lifetime: 40 * time.Second}, func(config *tokensource.Config) {
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
				f := newFleetWith(t, 60, 300*time.Second, nil, func(_ int, config *tokensource.Config) { config.FetchSemaphore = slots })
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

// counting counts requests.
type counting struct {
	next http.RoundTripper

	mu    sync.Mutex
	count counts
}

type counts struct {
	now, most int // in flight
	all       int
	closed    int // calls of CloseIdleConnections
}

func (c *counting) counts() counts {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.count.now++
	c.count.all++
	c.count.most = max(c.count.most, c.count.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.count.now--
	}()
	return c.next.RoundTrip(r)
}

func (c *counting) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.closed++
}

// newCountingRig returns a rig with tokens of 300 s, and what counts its token requests.
func newCountingRig(t *testing.T) (*rig, *counting) {
	t.Helper()
	requests := &counting{}
	r := newRigWith(t, fakeetrusted.Options{Lifetime: 300 * time.Second}, func(config *tokensource.Config) {
		requests.next = config.Endpoint.Transport
		config.Endpoint.Transport = requests
	})
	return r, requests
}

// The API accepts a refused token perhaps nowhere, so its lifetime does not count.
func TestRefusedTokenMakesSecondRequestNecessary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, requests := newCountingRig(t)
		r.at(time.Minute)
		r.server.SetTokenFault(fakeetrusted.Hang())
		sent, _, _ := r.Current()
		if !r.Invalidate(sent) {
			t.Fatal("Invalidate = false, want true")
		}
		r.at(66 * time.Second)
		if n := requests.counts().now; n != 2 {
			t.Errorf("got %d token requests in flight after 6 s, want 2", n)
		}
	})
}

func TestSecondRequestRunsOnlyWhileTokenIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, requests := newCountingRig(t)
		r.at(time.Second)
		r.server.SetTokenFault(fakeetrusted.Hang())
		r.at(269 * time.Second)
		before := requests.counts()
		if before.most != 1 || before.closed != 0 {
			t.Errorf("%+v with more than 30 s of the token left, want one request at once, and no new connection", before)
		}
		r.at(469 * time.Second)
		after := requests.counts()
		if after.most != 2 {
			t.Errorf("%d token requests at once, want 2", after.most)
		}
		// In 31 s to 60 s, one request and five beside it.
		if n := after.all - before.all; n < 15 || n > 42 || after.closed < n*3/4 {
			t.Errorf("%d token requests in 200 s, %d on new connections, want 15 to 42, and five of six", n, after.closed)
		}
		r.stop()
		if n := requests.counts().now; n != 0 {
			t.Errorf("%d token requests in flight after the end, want 0", n)
		}
	})
}
