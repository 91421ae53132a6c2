package tokensource_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

func TestInvalidateReplacesTheTokenThatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(9 * time.Second)
		first, _ := r.Current()
		if r.Invalidate(first) || r.Snapshot().Invalidations != 0 {
			t.Error("a token younger than 10 s is dropped")
		}
		r.at(11 * time.Second)
		r.server.SetTokenDelay(time.Second)
		if !r.Invalidate(first) {
			t.Fatal("a token older than 10 s is kept")
		}
		// Those whom the API does not refuse need not wait.
		if now, ok := r.Current(); !ok || now != first {
			t.Error("the token is gone before another is there")
		}
		second, took := r.awaitOther(t, first)
		if now, ok := r.Current(); took != time.Second || second == first || !ok || now != second {
			t.Fatalf("after %v there is no new token", took)
		}
		if !r.Invalidate(first) { // a straggler's
			t.Error("the straggler is not told of the new token")
		}
		if now, ok := r.Current(); !ok || now != second {
			t.Error("the new token is dropped for what happened to the old one")
		}
		if n := r.Snapshot().Invalidations; n != 1 {
			t.Errorf("%d invalidations", n)
		}
	})
}

func TestManyInvalidateOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		sent, _ := r.Current()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if r.Invalidate(sent) {
					if value, _ := r.awaitOther(t, sent); value == "" || value == sent {
						t.Error("there is no other token")
					}
				}
			})
		}
		all.Wait()
		if n := r.server.TokenRequestCount(); n != 2 {
			t.Errorf("%d token requests, want the first and one more", n)
		}
	})
}

// While no other is to be had, a token that the API may still take elsewhere is better than none; and whoever was refused
// is told at once.
func TestARefusedTokenStaysWhenThereIsNoOther(t *testing.T) {
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
				sent, _ := r.Current()
				if !r.Invalidate(sent) {
					t.Fatal("it is kept")
				}
				if value, took := r.awaitOther(t, sent); value != "" || took != time.Second {
					t.Errorf("after %v there is %q", took, value)
				}
				if now, ok := r.Current(); !ok || now != sent {
					t.Error("the token is lost")
				}
				if r.Invalidate(sent) {
					t.Error("another token is promised")
				}
			})
		})
	}
}

func TestAwaitOtherEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		r.server.SetTokenFault(fakeetrusted.Hang())
		sent, _ := r.Current()
		r.Invalidate(sent)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if _, ok := r.AwaitOther(ctx, sent); ok || time.Since(began) != 3*time.Second {
			t.Errorf("ok = %v after %v", ok, time.Since(began))
		}
	})
}

// An API that refuses every token costs the login server one request in 10 s.
func TestPermanent401IsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		before := r.server.TokenRequestCount()
		for began := time.Now(); time.Since(began) < 12*time.Second; time.Sleep(time.Millisecond) {
			if sent, ok := r.Current(); ok {
				r.Invalidate(sent)
			}
		}
		if n := r.server.TokenRequestCount() - before; n > 2 {
			t.Errorf("%d token requests in 12 s", n)
		}
	})
}
