package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// refreshed returns a rig that has just refreshed its token, and both tokens.
func refreshed(t *testing.T) (r *rig, previous, fresh string) {
	t.Helper()
	r = newRig(t, fakeetrusted.Options{Lifetime: 300 * time.Second})
	r.at(time.Second)
	previous, _, _ = r.Current()
	for fresh = previous; fresh == previous; fresh, _, _ = r.Current() {
		r.at(time.Since(r.began) + 100*time.Millisecond)
	}
	return r, previous, fresh
}

// An API with several servers learns of a token, or of its signing key, later than the broker.
func TestUsesPreviousTokenUntilNewOneIsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, previous, fresh := refreshed(t)
		if !r.Invalidate(fresh) {
			t.Fatal("Invalidate = false for a new token, want true: the previous one is valid")
		}
		if got, took := r.waitNewer(t, fresh); got != previous || took != 0 {
			t.Fatalf("WaitNewer = %q after %v, want %q at once", got, took, previous)
		}
		if got, _, _ := r.Current(); got != fresh {
			t.Errorf("Current = %q before the previous token is accepted, want %q", got, fresh)
		}
		r.MarkAccepted(previous)
		r.at(time.Since(r.began) + 9*time.Second)
		if got, _, _ := r.Current(); got != previous {
			t.Errorf("Current = %q, want the accepted one, %q", got, previous)
		}
		r.at(time.Since(r.began) + 1200*time.Millisecond)
		if got, _, _ := r.Current(); got != fresh {
			t.Errorf("Current = %q ten seconds after the refresh, want %q", got, fresh)
		}
		if n := r.server.TokenRequestCount(); n != 2 {
			t.Errorf("%d token requests, want 2", n)
		}
	})
}

func TestRefusedPreviousTokenIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(r *rig, previous, fresh string){
		"before the refresh, which it caused": nil,
		"by a slower request":                 func(r *rig, previous, _ string) { r.Invalidate(previous) },
		"after it had been accepted, unlike the new one": func(r *rig, previous, fresh string) {
			r.MarkAccepted(previous)
			r.Invalidate(previous)
			r.MarkAccepted(fresh)
			r.Invalidate(previous)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r *rig
				var previous, fresh string
				if refuse != nil {
					r, previous, fresh = refreshed(t)
					refuse(r, previous, fresh)
				} else {
					r = newRig(t, fakeetrusted.Options{})
					r.at(time.Minute)
					previous, _, _ = r.Current()
					r.Invalidate(previous)
					fresh, _ = r.waitNewer(t, previous)
				}
				if got, _, _ := r.Current(); got != fresh {
					t.Errorf("Current = %q, want %q", got, fresh)
				}
				if r.Invalidate(fresh) {
					t.Error("Invalidate = true for a new token, want false: the previous one was refused")
				}
			})
		})
	}
}

// newUnaccepted returns a running broker whose tokens the API accepts only after some time, and its first token.
func newUnaccepted(t *testing.T, lifetime, notBefore time.Duration) (login *login, b *broker, first string) {
	t.Helper()
	f := newFleet(t, 1, lifetime, nil)
	f.login.delay, f.login.notBefore = 0, notBefore
	f.start()
	first, _, ok := f.brokers[0].Current()
	if !ok {
		t.Fatal("the first token is not used before its nbf, although there is no other")
	}
	return f.login, f.brokers[0], first
}

func TestTokenIsUsedFromItsNotBefore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		notBefore, lifetime time.Duration
		want                time.Duration // from the refresh to the switch
	}{
		"three seconds later":                    {3 * time.Second, 300 * time.Second, 3 * time.Second},
		"at once":                                {0, 300 * time.Second, 0},
		"not past the end of the previous token": {time.Hour, 100 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				login, source, first := newUnaccepted(t, tc.lifetime, tc.notBefore)
				var refreshed time.Time
				for refreshed.IsZero() || time.Since(refreshed) < time.Minute {
					if refreshed.IsZero() && login.count() == 2 {
						refreshed = time.Now()
					}
					if now, _, _ := source.Current(); now != first {
						break
					}
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				// The refresh is due at 70 % to 80 % of the lifetime.
				if got := time.Since(refreshed); got < tc.want || got > tc.want*3/2+10*time.Millisecond {
					t.Errorf("the new token was used %v after its refresh, want %v", got, tc.want)
				}
			})
		})
	}
}

// The API answers a request for which the client has no rights with 401, whatever the token. That says nothing about the tokens.
func TestMissingRightsDoNotEndNotBefore(t *testing.T) {
	t.Parallel()
	for _, notBefore := range []time.Duration{8 * time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			login, source, first := newUnaccepted(t, 300*time.Second, notBefore)
			for login.count() < 2 {
				time.Sleep(100 * time.Millisecond)
			}
			for refreshed := time.Now(); time.Since(refreshed) < notBefore-time.Second; time.Sleep(100 * time.Millisecond) {
				sent, _, _ := source.Current()
				if sent != first {
					t.Fatalf("Current = %q %v after the refresh, want the previous token, whose successor is not valid before %v", sent, time.Since(refreshed), notBefore)
				}
				if source.Invalidate(sent) { // as a request does that gets 401 for each token
					if next, _, err := source.WaitNewer(t.Context(), sent); err == nil {
						source.Invalidate(next)
					}
				}
			}
			if n := login.count(); n != 2 {
				t.Errorf("got %d token requests, want 2", n)
			}
		})
	}
}

// If the previous token is revoked, the new one is used as soon as the API has accepted it.
func TestAcceptedTokenIsUsedBeforeItsNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		login, source, first := newUnaccepted(t, 300*time.Second, time.Minute)
		for login.count() < 2 {
			time.Sleep(100 * time.Millisecond)
		}
		if !source.Invalidate(first) {
			t.Fatal("Invalidate = false for the previous token, want true")
		}
		next, _, err := source.WaitNewer(t.Context(), first)
		if err != nil || next == first {
			t.Fatalf("WaitNewer = %q, %v, want the new token", next, err)
		}
		source.MarkAccepted(next)
		if got, _, _ := source.Current(); got != next {
			t.Errorf("Current = %q, want the accepted token %q", got, next)
		}
	})
}
