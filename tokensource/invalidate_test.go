package tokensource_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

func TestInvalidateReplacesSentToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(9 * time.Second)
		first, _, _ := r.Current()
		if r.Invalidate(first) || r.Snapshot().Invalidations != 0 {
			t.Error("Invalidate replaces a token younger than 10 s")
		}
		r.at(11 * time.Second)
		r.server.SetTokenDelay(time.Second)
		if !r.Invalidate(first) {
			t.Fatal("Invalidate = false for a token older than 10 s, want true")
		}
		// Requests that the API does not refuse need not wait.
		if now, _, ok := r.Current(); !ok || now != first {
			t.Errorf("Current = %q, %v before the new token, want the old one", now, ok)
		}
		second, took := r.waitNewer(t, first)
		if now, _, ok := r.Current(); took != time.Second || second == first || !ok || now != second {
			t.Fatalf("new token %q after %v, want another than %q after 1s", second, took, first)
		}
		if !r.Invalidate(first) { // by a slower request
			t.Error("Invalidate = false for a replaced token, want true")
		}
		if now, _, ok := r.Current(); !ok || now != second {
			t.Errorf("Current = %q, %v after invalidating the old token, want %q", now, ok, second)
		}
		if n := r.Snapshot().Invalidations; n != 1 {
			t.Errorf("%d invalidations, want 1", n)
		}
	})
}

func TestConcurrentInvalidationsFetchOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		sent, _, _ := r.Current()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if r.Invalidate(sent) {
					if value, _ := r.waitNewer(t, sent); value == "" || value == sent {
						t.Errorf("WaitNewer = %q, want a new token", value)
					}
				}
			})
		}
		all.Wait()
		if n := r.server.TokenRequestCount(); n != 2 {
			t.Errorf("%d token requests, want 2", n)
		}
	})
}

// During an outage, a token that the API may still accept elsewhere is better than none. The refused request fails as
// soon as the refresh has failed.
func TestKeepsRefusedTokenDuringOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]http.Handler{
		"outage":    fakeetrusted.Status(503, nil),
		"rejection": fakeetrusted.OAuthError(401, "invalid_client"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
				r.at(time.Minute)
				r.server.SetTokenFault(fault)
				r.server.SetTokenDelay(time.Second)
				sent, _, _ := r.Current()
				if !r.Invalidate(sent) {
					t.Fatal("Invalidate = false, want true")
				}
				if value, took := r.waitNewer(t, sent); value != "" || took != time.Second {
					t.Errorf("WaitNewer = %q after %v, want none after 1s", value, took)
				}
				if now, _, ok := r.Current(); !ok || now != sent {
					t.Errorf("Current = %q, %v, want the refused token", now, ok)
				}
				if r.Invalidate(sent) {
					t.Error("Invalidate = true during an outage, want false")
				}
			})
		})
	}
}

func TestWaitNewerEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		r.server.SetTokenFault(fakeetrusted.Hang())
		sent, _, _ := r.Current()
		r.Invalidate(sent)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, _, err := r.WaitNewer(ctx, sent)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("WaitNewer: %v after %v, want DeadlineExceeded after 3s", err, time.Since(began))
		}
	})
}

// An API that refuses every token causes at most one token request in 10 s.
func TestPermanent401CausesNoStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		before := r.server.TokenRequestCount()
		for began := time.Now(); time.Since(began) < 12*time.Second; time.Sleep(time.Millisecond) {
			if sent, _, ok := r.Current(); ok {
				r.Invalidate(sent)
			}
		}
		if n := r.server.TokenRequestCount() - before; n > 2 {
			t.Errorf("%d token requests in 12 s, want at most 2", n)
		}
	})
}
