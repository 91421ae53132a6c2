package tokensource_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Files that are written again are tried at once, with a store too, and by one broker for all.
func TestRewrittenFilesAreTriedAtOnceInAFleet(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 5} {
		synctest.Test(t, func(t *testing.T) {
			r := newFileFleet(t, brokers, 300*time.Second, newMemoryStore())
			r.mayLoseTokens()
			r.at(10 * time.Second)
			r.login.setPair("new", "secret2", false)
			r.write(t, "new", "secret2")
			r.recheck(time.Second)
			time.Sleep(3 * time.Minute)
			for n := r.login.countOf("new"); r.login.countOf("new") == n; time.Sleep(100 * time.Millisecond) { // just after an attempt
			}
			time.Sleep(2 * time.Second)
			r.login.setPair("new", "secret2", true)
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(r.path("client_secret"), later, later); err != nil { // written again
				t.Fatal(err)
			}
			before := r.login.countOf("new")
			r.recheck(time.Second)
			time.Sleep(3 * time.Second)
			for i, b := range r.brokers {
				if b.Snapshot().PendingReload != nil {
					t.Errorf("%d brokers: broker %d still waits, want the new pair in use", brokers, i)
				}
			}
			if got := r.login.countOf("new") - before; got < 1 || got > 2 {
				t.Errorf("%d brokers: got %d requests with the new pair, want 1 or 2", brokers, got)
			}
			r.stop()
		})
	}
}

// A login server whose database needs a moment after an outage rejects a pair that has worked, once.
func TestOneRejectionAfterAnOutageCostsLittle(t *testing.T) {
	t.Parallel()
	for run := range 60 {
		synctest.Test(t, func(t *testing.T) {
			brokers, store := 1, newMemoryStore()
			switch run % 3 {
			case 0:
				store = nil
			case 1:
				brokers = 3
			}
			f := newFleet(t, brokers, 60*time.Second, store)
			f.mayLoseTokens()
			f.start()
			time.Sleep(10 * time.Second)
			f.login.set(isDown)
			time.Sleep(100 * time.Second)
			go func() { _, _, _ = f.brokers[0].Wait(t.Context()) }()
			time.Sleep(10 * time.Second)
			f.login.set(rejects)
			for rejected := false; !rejected; time.Sleep(10 * time.Millisecond) {
				for _, b := range f.brokers {
					rejected = rejected || b.Snapshot().Refreshes[1] > 0
				}
			}
			f.login.set("")
			healed := time.Now()
			for i, b := range f.brokers {
				if _, _, err := b.Wait(t.Context()); err != nil {
					t.Errorf("broker %d of %d, with a store: %v: got %v after one rejection, want a token", i, brokers, store != nil, err)
				}
			}
			if got := time.Since(healed); got > 5500*time.Millisecond {
				t.Errorf("%d brokers, with a store: %v: got a token %v after the login server was well, want at most 5.5 s", brokers, store != nil, got)
			}
			f.stop()
		})
	}
}
