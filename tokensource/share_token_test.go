package tokensource_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/tokensource"
)

func TestFollowersUseTokenFromItsNotBefore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		notBefore, lifetime time.Duration
		want, most          time.Duration // from the refresh to the switch
	}{
		"three seconds later":                    {3 * time.Second, 300 * time.Second, 3 * time.Second, 4 * time.Second},
		"at once":                                {0, 300 * time.Second, 0, 2 * time.Second}, // the followers are notified at once, but look within two seconds
		"not past the end of the previous token": {time.Hour, 100 * time.Second, 20 * time.Second, 23 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 3, tc.lifetime, newMemoryStore())
				f.login.delay, f.login.notBefore = 0, tc.notBefore
				f.start()
				first, _, _ := f.brokers[0].Current()
				for f.login.count() < 2 {
					time.Sleep(time.Millisecond)
				}
				refreshed := time.Now()
				switched := map[*broker]time.Duration{}
				for ; time.Since(refreshed) < 30*time.Second; time.Sleep(time.Millisecond) {
					for _, b := range f.brokers {
						if value, _, _ := b.Current(); value != first && switched[b] == 0 {
							switched[b] = time.Since(refreshed) + 1
						}
					}
				}
				for i, b := range f.brokers {
					if got := switched[b]; got < tc.want || got > tc.most {
						t.Errorf("broker %d uses the new token after %v, want %v to %v", i, got, tc.want, tc.most)
					}
				}
				if n := f.login.count(); n != 2 {
					t.Errorf("got %d token requests, want 2", n)
				}
			})
		})
	}
}

// A login server that sends the same token until it ends costs a fleet as many token requests as one broker.
func TestTokenThatIsSentAgainIsShared(t *testing.T) {
	t.Parallel()
	requests := func(n int, store *memoryStore) (count int) {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, n, 300*time.Second, store)
			f.login.caches = true
			f.mayLoseTokens() // there is no other token before its end
			count = f.requestsDuring(func() { f.at(6 * 300 * time.Second) })
		})
		return count
	}
	one, many := requests(1, nil), requests(100, newMemoryStore())
	t.Logf("%d token requests of one broker, %d of 100", one, many)
	if many > one*3/2 {
		t.Errorf("got %d token requests of 100 brokers, want about the %d of one", many, one)
	}
}

// A broker that does not know the token, because the store has lost it, cannot give it a longer life.
func TestTokenThatIsSentAgainLivesNoLonger(t *testing.T) {
	t.Parallel()
	inBubbleOf(t, 3, 300*time.Second, func(f *fleet) {
		f.login.caches = true
		f.at(200 * time.Second)
		f.store.lose()
		newcomer := f.add()
		f.pass(10 * time.Second)
		newcomer.stop()
		for i, b := range f.brokers[:3] {
			if s := b.Snapshot(); s.Remaining > 90*time.Second || !s.FromPeer || s.StoreHits == 0 {
				t.Errorf("broker %d has got the token again %t, with %v remaining, want it for at most 90 s", i, s.FromPeer, s.Remaining)
			}
		}
	})
}

// Brokers with wrong clocks neither lose their token nor cause a storm.
func TestWrongClocksDoNoHarm(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, -280 * time.Second, 50 * time.Second, 200 * time.Second, 280 * time.Second, time.Hour} {
		for _, wrong := range []int{1, 2, 10} {
			t.Run(fmt.Sprintf("%v, of %d", ahead, wrong), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store := newMemoryStore()
					f := newFleet(t, 20, 300*time.Second, store, func(i int, config *tokensource.Config) {
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
