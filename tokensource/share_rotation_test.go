package tokensource_test

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestFleetRotates(t *testing.T) {
	t.Parallel()
	for _, within := range []time.Duration{0, 10 * time.Second} {
		t.Run(within.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newFileFleet(t, 50, 300*time.Second, newMemoryStore())
				r.at(20 * time.Second)
				r.login.setPair("new", "new", true)
				r.write(t, "new", "new")
				n := r.requestsDuring(func() {
					r.recheck(within)
					r.pass(3 * time.Second)
				})
				if n > 2 {
					t.Errorf("got %d requests, want fewer", n)
				}
				for i, b := range r.brokers {
					if b.Snapshot().Reloads != [3]uint64{1, 0, 0} || b.Snapshot().PendingReload != nil {
						t.Errorf("broker %d: %+v", i, b.Snapshot())
					}
				}
				if open := r.store.unclosed(); open != 50 {
					t.Errorf("got %d open entries, want fewer", open)
				}
				if n := r.requestsDuring(func() { r.pass(3000 * time.Second) }); n > 14 || r.login.countOf("new") < n {
					t.Errorf("got %d requests in ten lifetimes, %d of the new client; want at most 14, all of it", n, r.login.countOf("new"))
				}
			})
		})
	}
}

func TestFleetKeepsPairWhileNewOneIsRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFileFleet(t, 50, 300*time.Second, newMemoryStore())
		r.at(20 * time.Second)
		r.write(t, "wrong", "wrong")
		r.recheck(5 * time.Second)
		r.pass(10 * time.Minute)
		t.Logf("%d requests of the wrong pair in 10 minutes", r.login.countOf("wrong"))
		if n := r.login.countOf("wrong"); n > 30 {
			t.Errorf("got %d requests of the wrong pair in 10 minutes, want fewer", n)
		}
		for i, b := range r.brokers {
			if unused := b.Snapshot().PendingReload; unused == nil || unused.Outcome != tokensource.ReloadRejected || b.Snapshot().LastFailure != nil {
				t.Errorf("broker %d: %+v", i, b.Snapshot())
			}
		}
		r.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
		r.recheck(time.Second)
		r.pass(time.Second)
		if open := r.store.unclosed(); open != 50 {
			t.Errorf("got %d open entries, want fewer", open)
		}
	})
}

// The client is enabled in the Control Centre: the fleet switches at the end of the pause.
func TestFleetSwitchesOnceNewPairIsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFileFleet(t, 50, 300*time.Second, newMemoryStore())
		r.at(20 * time.Second)
		r.write(t, "new", "new")
		r.recheck(5 * time.Second)
		r.pass(time.Minute)
		rejected := r.login.countOf("new")
		r.login.setPair("new", "new", true)
		switched := func() (n int) {
			for _, b := range r.brokers {
				n += int(b.Snapshot().Reloads[0])
			}
			return n
		}
		r.pass(35 * time.Second)
		if n := switched(); n < 50-rejected {
			t.Errorf("%d of 50 brokers use the new pair after %d rejections, want all", n, rejected)
		}
		r.pass(5 * time.Minute)
		if n := switched(); n != 50 {
			t.Errorf("%d of 50 brokers use the new pair, want all", n)
		}
	})
}

func TestAlternatingPairsAreNoStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFileFleet(t, 20, 300*time.Second, newMemoryStore())
		r.at(20 * time.Second)
		r.login.setPair("new", "new", true)
		n := r.requestsDuring(func() {
			for i := range 150 {
				if i%2 == 0 {
					r.write(t, "new", "new")
				} else {
					r.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
				}
				r.recheck(200 * time.Millisecond)
			}
		})
		t.Logf("%d requests in 30 seconds", n)
		if n > 4 {
			t.Errorf("got %d requests in 30 seconds, want fewer", n)
		}
		if open := r.store.unclosed(); open > 40 {
			t.Errorf("got %d open entries, want fewer", open)
		}
	})
}

// Half of the fleet sees the change late: both pairs are used, each with one leader.
func TestFleetWithTwoPairs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFileFleet(t, 50, 300*time.Second, newMemoryStore())
		r.at(20 * time.Second)
		r.login.setPair("new", "new", true)
		r.write(t, "new", "new")
		for _, b := range r.brokers[:25] {
			b.ReloadCredentials()
		}
		r.pass(5 * time.Second)
		if n := r.requestsDuring(func() { r.pass(3000 * time.Second) }); n > 28 {
			t.Errorf("got %d requests in ten lifetimes, want fewer", n)
		}
		if n := len(r.leaders()); n != 2 {
			t.Errorf("got %d leaders, want 2", n)
		}
	})
}
