package tokensource_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	t.Parallel()
	for name, many := range map[string]int{"one": 1, "all at once": 50} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 300*time.Second, func(f *fleet) {
				f.at(30 * time.Second)
				sent, _, _ := f.brokers[0].Current()
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
						if value, _, err := b.WaitNewer(ctx, sent); err != nil || value == sent {
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
					if now, _, ok := b.Current(); !ok || now == sent {
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

// A token that is revoked during an outage is replaced as soon after it as one that has expired, although other brokers may not know
// that it is refused, and the fleet makes about as many token requests as one broker.
func TestTokenRevokedInOutageIsReplacedSoon(t *testing.T) {
	for _, many := range []int{1, 50} {
		for _, lasts := range []time.Duration{time.Second, time.Second, time.Second, time.Second, 20 * time.Second, 5 * time.Minute} {
			t.Run(fmt.Sprintf("%d of 50, %v", many, lasts), func(t *testing.T) {
				t.Parallel()
				inBubble(t, time.Hour, func(f *fleet) {
					f.at(time.Minute)
					revoked, _, _ := f.brokers[0].Current()
					f.login.set(isDown)
					f.at(50 * time.Minute) // the outage has been noticed, and the pauses last up to 30 s
					f.step = 100 * time.Millisecond
					refused := func() (n int) {
						for i, b := range f.brokers[:many] {
							if sent, _, _ := b.Current(); sent == revoked {
								n++
								if time.Duration(i)*time.Second/10 <= time.Since(f.began)-50*time.Minute {
									b.Invalidate(sent)
								}
							}
						}
						return n
					}
					requests := f.requestsDuring(func() {
						for range lasts / f.step {
							refused()
							f.pass(f.step)
						}
					})
					f.login.set("")
					healed := time.Now()
					for refused() > 0 {
						f.pass(f.step)
					}
					took, most := time.Since(healed), int(lasts/(4*time.Second))+20
					t.Logf("%d requests in the outage, the last broker has another token %v after it", requests, took)
					limit := 3 * time.Second
					if lasts > 30*time.Second {
						limit = 6 * time.Second
					}
					if took > limit || requests > most {
						t.Errorf("got another token after %v and %d requests in the outage, want at most %v and %d", took, requests, limit, most)
					}
				})
			})
		}
	}
}

// If the login server sends a refused token again, the requests that wait for another one do not wait longer.
func TestRefusedTokenThatIsSentAgainEndsWait(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.login.caches = true
		f.at(30 * time.Second)
		refused, _, _ := f.brokers[0].Current()
		results := make(chan error, len(f.brokers))
		n := f.requestsDuring(func() {
			for _, b := range f.brokers {
				if !b.Invalidate(refused) {
					t.Fatal("the token is kept, want it to be replaced")
				}
				go func() {
					value, _, err := b.WaitNewer(f.t.Context(), refused)
					if err == nil {
						err = fmt.Errorf("got %q, want no token", value)
					}
					results <- err
				}()
			}
			f.pass(time.Second)
		})
		if n != 1 || len(results) != len(f.brokers) {
			t.Errorf("%d of %d requests have an answer after %d token requests, want all after 1", len(results), len(f.brokers), n)
		}
		for range len(results) {
			_ = noToken(t, <-results) // it has a reason
		}
	})
}

// An API that refuses every token costs one token request in ten seconds, of all brokers together.
func TestPermanent401OfFleetIsNoStorm(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(20 * time.Second)
		n := f.requestsDuring(func() {
			for range 600 {
				for _, b := range f.brokers {
					if sent, _, ok := b.Current(); ok {
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
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.at(5 * time.Second)
		late := f.add()
		f.at(9900 * time.Millisecond)
		sent, _, ok := late.Current()
		if !ok || late.Invalidate(sent) || f.brokers[3].Invalidate(sent) {
			t.Errorf("%v: a token younger than 10 s is dropped", ok)
		}
		f.at(10200 * time.Millisecond)
		if !late.Invalidate(sent) {
			t.Error("a token older than 10 s is kept")
		}
	})
}
