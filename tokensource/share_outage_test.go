package tokensource_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

// In an outage of the login server, a fleet makes about as many token requests as one broker whose requests need a token.
func TestOutageCostsFleetAsMuchAsOneBroker(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		lifetime    time.Duration
		from, lasts time.Duration
		most        int // requests
		fault       string
	}{
		{"ten seconds", 300 * time.Second, 238 * time.Second, 10 * time.Second, 8, isDown},
		{"until the token expires", 300 * time.Second, 200 * time.Second, 95 * time.Second, 30, isDown},
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
				const healed = 7 * time.Second // a pause of 5 s, a second until the first broker tries, and the request
				if requests > tc.most || took > healed {
					t.Errorf("got %d requests and tokens after %v, want at most %d and %v", requests, took, tc.most, healed)
				}
			})
		})
	}
}

// Brokers that see many attempts begin, but few end, do not take the lease from the broker that has it.
func TestSlowFailuresAreNoStorm(t *testing.T) {
	for _, delay := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 8 * time.Second, 20 * time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			inBubbleOf(t, 100, 300*time.Second, func(f *fleet) {
				f.mayLoseTokens()
				f.at(200 * time.Second)
				f.login.set(isDown)
				f.login.setDelay(delay)
				n := f.requestsDuring(func() { f.pass(5 * time.Minute) })
				t.Logf("%d requests in the outage", n)
				if n > 100 {
					t.Errorf("got %d requests in an outage of five minutes, want at most 100", n)
				}
			})
		})
	}
}

func TestFleetWithRejectedCredentials(t *testing.T) {
	t.Parallel()
	inBubble(t, 300*time.Second, func(f *fleet) {
		f.login.set(rejects)
		f.at(5 * time.Second)
		for i, b := range f.brokers {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			began := time.Now()
			_, _, err := b.Wait(ctx)
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
		if longest := f.store.longestPause; longest > 30*time.Second {
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

// The lease says how many rejections there were in a row: a broker need not have seen them all, and one is no reason for a 503.
func TestLeaseCarriesRejections(t *testing.T) {
	t.Parallel()
	for rejections, want := range map[int]bool{1: false, 2: true} {
		inBubbleOf(t, 1, 60*time.Second, func(f *fleet) {
			b := f.brokers[0]
			b.mayLoseToken = true
			f.at(time.Second)
			f.login.set(hangs)
			f.at(40 * time.Second) // before the refresh is due
			peer, fence := f.peer()
			if ok, err := peer.Acquire(context.Background(), tokensource.Lease{FencingToken: fence, Remaining: 15 * time.Second}); err != nil || !ok {
				t.Fatalf("the peer has no lease: %v", err)
			}
			failure := &tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: "rejected", Advice: "wait"}
			if err := peer.Release(context.Background(), tokensource.Lease{FencingToken: fence, Failure: failure, Failures: 9, Rejections: rejections, Remaining: 30 * time.Second}); err != nil {
				t.Fatal(err)
			}
			f.at(52 * time.Second) // it is due after 48 s to 51 s
			if got := b.Snapshot().LastFailure; got == nil {
				t.Fatal("the broker has not seen the lease")
			}
			f.at(60*time.Second + time.Millisecond)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			_, _, err := b.Wait(ctx)
			if got := isRejected(noToken(t, err)); got != want {
				t.Errorf("after %d rejections: got rejected %t, want %t", rejections, got, want)
			}
		})
	}
}
