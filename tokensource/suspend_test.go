package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// jumped returns a running broker whose token has expired by the wall clock, but not by the monotonic clock.
func jumped(t *testing.T) (login *login, b *broker, sent string) {
	t.Helper()
	f := newFleet(t, 1, time.Hour, nil)
	f.login.delay = 0
	f.start()
	time.Sleep(time.Second) // the token is new
	b = f.brokers[0]
	sent, _, _ = b.Current()
	b.ExpireByWallClock()
	return f.login, b, sent
}

// A machine that was suspended, or whose clock was set, gets a new token without any request.
func TestRefreshesAfterWallClockJump(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		login, source, sent := jumped(t)
		for jump := time.Now(); ; time.Sleep(time.Millisecond) {
			if value, _, ok := source.Current(); !ok {
				t.Fatal("no token after the jump, want the old one")
			} else if value != sent {
				break
			}
			if time.Since(jump) > 10*time.Second {
				t.Fatal("no new token within 10s")
			}
		}
		time.Sleep(time.Hour / 2)
		if n := login.count(); n != 2 {
			t.Errorf("%d token requests, want 2: at the start and after the jump", n)
		}
	})
}

// A token that is expired only by the wall clock is better than none.
func TestKeepsTokenAfterWallClockJumpInOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		login, source, sent := jumped(t)
		login.set(nonsense)
		time.Sleep(50 * time.Minute)
		if value, _, ok := source.Current(); !ok || value != sent {
			t.Errorf("Current = %q, %v in an outage, want %q", value, ok, sent)
		}
		if n := login.count(); n < 3 || n > 400 {
			t.Errorf("%d token requests in 50 minutes, want 3 to 400", n)
		}
		time.Sleep(10 * time.Minute)
		if _, _, ok := source.Current(); ok {
			t.Error("Current returns a token that has expired by the monotonic clock")
		}
	})
}

// A jump during the pause after a failed attempt ends the pause, once.
func TestWallClockJumpEndsPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		login, source, sent := jumped(t)
		login.set(nonsense)
		time.Sleep(20 * time.Minute) // the pauses last up to 30 s
		for range 20 {
			before := login.count()
			for time.Until(source.Snapshot().NextAttempt) < 11*time.Second {
				time.Sleep(time.Second)
				before = login.count()
			}
			source.ExpireByWallClock()
			for jumped := time.Now(); login.count() == before; time.Sleep(100 * time.Millisecond) {
				if time.Since(jumped) > 10*time.Second {
					t.Fatal("no token request within 10s of the jump")
				}
			}
			if value, _, ok := source.Current(); !ok || value != sent {
				t.Fatalf("Current = %q, %v, want %q", value, ok, sent)
			}
			time.Sleep(time.Until(source.Snapshot().NextAttempt) - time.Millisecond)
			if n := login.count() - before; n != 1 {
				t.Fatalf("%d token requests before the end of the next pause, want 1", n)
			}
		}
	})
}

// After a suspend the API refuses the token, and the first request that it refuses replaces it.
func TestFirst401AfterSuspendReplacesToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, source, sent := jumped(t)
		if !source.Invalidate(sent) {
			t.Fatal("Invalidate = false, want true")
		}
		began := time.Now()
		if value, _, err := source.WaitNewer(t.Context(), sent); err != nil || value == sent || time.Since(began) != 0 {
			t.Errorf("WaitNewer = %q, %v after %v, want the new token at once", value, err, time.Since(began))
		}
	})
}

// If the login server is away after a suspend, the refused token does not count as valid.
func TestRefusedTokenIsReplacedSoonAfterSuspend(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{10 * time.Second, 25 * time.Second, 5 * time.Minute} {
		for range 10 {
			synctest.Test(t, func(t *testing.T) {
				login, source, sent := jumped(t)
				login.set(nonsense)
				time.AfterFunc(lasts, func() { login.set("") })
				for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
					if value, _, _ := source.Current(); value != sent {
						break
					}
					source.Invalidate(sent) // as each request does that gets 401
					limit := 2500 * time.Millisecond
					if lasts > 30*time.Second {
						limit = 5500 * time.Millisecond
					}
					if took := time.Since(began) - lasts; took > limit {
						t.Fatalf("the refused token is sent %v after the outage, want at most %v", took, limit)
					}
				}
			})
		}
	}
}
