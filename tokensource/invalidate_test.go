package tokensource_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/etrustedtest"
)

func TestInvalidateDropsTheTokenThatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, etrustedtest.Options{Lifetime: time.Hour})
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
		if _, ok := r.Current(); ok {
			t.Error("a dropped token is served")
		}
		if took, err := r.await(time.Minute); err != nil || took != time.Second {
			t.Errorf("waited %v: %v", took, err)
		}
		second, ok := r.Current()
		if !ok || second == first {
			t.Fatal("there is no new token")
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
		r := newRig(t, etrustedtest.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		sent, _ := r.Current()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if r.Invalidate(sent) {
					if _, err := r.await(time.Minute); err != nil {
						t.Error(err)
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

// While the login server is away, a token that the API may still take elsewhere is better than none.
func TestADroppedTokenComesBackInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, etrustedtest.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		r.server.SetTokenFault(etrustedtest.Status(503, nil))
		sent, _ := r.Current()
		if !r.Invalidate(sent) {
			t.Fatal("it is kept")
		}
		if took, err := r.await(time.Minute); err != nil || took != 0 {
			t.Errorf("waited %v: %v", took, err)
		}
		if now, _ := r.Current(); now != sent {
			t.Error("the token is lost")
		}
		if r.Invalidate(sent) {
			t.Error("dropped again, with no other to be had")
		}
	})
}

// Both the API and the login server have said no: the token stays away, and the app is told about the credentials.
func TestADroppedTokenStaysAwayAfterARejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, etrustedtest.Options{Lifetime: time.Hour})
		r.at(time.Minute)
		r.server.SetTokenFault(etrustedtest.OAuthError(401, "invalid_client"))
		sent, _ := r.Current()
		r.Invalidate(sent)
		_, err := r.await(time.Minute)
		if !noToken(t, err).Rejected() {
			t.Errorf("err = %v", err)
		}
		if _, ok := r.Current(); ok {
			t.Error("the dropped token is served")
		}
		if r.Invalidate(sent) {
			t.Error("another token is promised")
		}
	})
}

// An API that refuses every token costs the login server one request in 10 s.
func TestPermanent401IsNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, etrustedtest.Options{Lifetime: time.Hour})
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
