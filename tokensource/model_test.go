package tokensource_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestInvariantsHoldInRandomRuns drives a broker, or three that share tokens, through random sequences of events and checks the
// invariants after each. A failure names its seed.
func TestInvariantsHoldInRandomRuns(t *testing.T) {
	sequences := 150
	if testing.Short() || brokertest.RaceDetector { // with it, all of them would take more than a minute
		sequences = 30
	}
	for seed := range sequences {
		t.Run(fmt.Sprint("one broker, seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, uint64(seed), 1, nil)
				l.run(120)
				l.checkStorms()
			})
		})
	}
	for seed := range sequences / 3 {
		t.Run(fmt.Sprint("three brokers, seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, uint64(seed), 3, newMemoryStore())
				l.run(60)
				l.checkRecovery()
			})
		})
	}
}

// life is a fleet that goes through a random sequence of events.
type life struct {
	*fileFleet
	t      *testing.T
	random *rand.Rand
	steps  []string
	held   map[*broker]string // the token that each had last
}

func newLife(t *testing.T, seed uint64, brokers int, store *memoryStore) *life {
	t.Helper()
	f := newFileFleet(t, brokers, 300*time.Second, store)
	f.login.delay = 0
	f.login.pairs = map[string]bool{"good1/good1": true, "good2/good2": true}
	f.write(t, "good1", "good1")
	f.start()
	return &life{fileFleet: f, t: t, random: rand.New(rand.NewPCG(seed, 0)), held: map[*broker]string{}}
}

func (l *life) fail(format string, args ...any) {
	l.t.Helper()
	l.t.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(l.steps, "; "))
}

func (l *life) run(steps int) {
	for range steps {
		l.step(l.brokers[l.random.IntN(len(l.brokers))])
		synctest.Wait()
		l.check()
	}
}

// step lets something happen: to the login server, the store, the files, or one of the brokers.
func (l *life) step(b *broker) {
	switch n := l.random.IntN(100); {
	case n < 35:
		l.pass(l.upTo(20 * time.Second))
	case n < 45:
		l.pass(l.upTo(10 * time.Minute))
	case n < 60:
		fault := []string{"", "", "", isDown, rejects, nonsense, hangs}[l.random.IntN(7)]
		l.note("fault %q", fault)
		l.login.set(fault)
		l.login.setLifetime([]time.Duration{30 * time.Second, 300 * time.Second, 3600 * time.Second}[l.random.IntN(3)])
	case n < 65:
		delay := l.upTo(4 * time.Second)
		l.note("delay %v", delay)
		l.login.setDelay(delay)
	case n < 70 && l.store != nil:
		fault := append([]storeFault{away, slow, healthy, healthy, healthy}, invalidReplies...)[l.random.IntN(5+len(invalidReplies))]
		l.note("store %q", fault)
		l.store.set(fault)
	case n < 80:
		if sent, _, ok := b.Current(); ok {
			l.note("invalidate %s: %v", sent, b.Invalidate(sent))
		}
	case n < 93:
		id := []string{"good1", "good2", "bad1", "bad2", ""}[l.random.IntN(5)]
		l.note("write %q", id)
		l.write(l.t, id, id)
		b.ReloadCredentials()
	default:
		timeout := l.upTo(15 * time.Second)
		l.note("wait %v", timeout)
		if took, _ := b.wait(timeout); took > timeout {
			l.fail("waited %v", took)
		}
	}
}

func (l *life) upTo(limit time.Duration) time.Duration {
	return time.Duration(l.random.Int64N(int64(limit)))
}

func (l *life) note(format string, args ...any) {
	l.steps = append(l.steps, fmt.Sprintf(format, args...))
}

// pass lets time pass and checks the invariants meanwhile.
func (l *life) pass(d time.Duration) {
	l.note("pass %v", d)
	for range 10 {
		time.Sleep(d / 10)
		synctest.Wait()
		l.check()
	}
}

// check checks what must hold at any time.
func (l *life) check() {
	l.login.mu.Lock()
	defer l.login.mu.Unlock()
	for i, b := range l.brokers {
		value, _, ok := b.Current()
		if ok {
			switch issued := l.login.tokens[value]; {
			case issued == nil:
				l.fail("broker %d: %s was never issued", i, value)
			case time.Since(issued.at) >= issued.lifetime:
				l.fail("broker %d: %s is returned %v after its request, want at most %v", i, value, time.Since(issued.at), issued.lifetime)
			}
			l.held[b] = value
		}
		tolerance := 31 * time.Second // by the store's clock, a token's life begins with the lease: up to an attempt before its request
		if len(l.brokers) == 1 {
			l.held[b], tolerance = l.login.last, 0 // it must use each token at once
		}
		held := l.login.tokens[l.held[b]]
		replaced := held != nil && b.Snapshot().Issued.After(held.at.Add(time.Second)) && len(l.brokers) > 1 // since the last check
		if held != nil && !replaced && time.Since(held.at) < held.lifetime-tolerance && value != l.held[b] {
			l.fail("broker %d: %s was lost %v before its expiry", i, l.held[b], held.lifetime-time.Since(held.at))
		}
	}
}

// checkRecovery checks that all is well again soon after all faults have ended, and that there were no storms.
func (l *life) checkRecovery() {
	l.login.set("")
	l.login.setDelay(100 * time.Millisecond)
	l.login.setLifetime(300 * time.Second)
	l.store.set(healthy)
	l.write(l.t, "good2", "good2")
	for _, b := range l.brokers {
		b.ReloadCredentials()
	}
	for range 60 {
		l.pass(time.Second)
	}
	for i, b := range l.brokers {
		if snapshot := b.Snapshot(); !snapshot.Valid || snapshot.PendingReload != nil || snapshot.LastFailure != nil {
			l.fail("broker %d: got %+v a minute after all faults, want a token of the new pair", i, snapshot)
		}
	}
	l.pass(10 * time.Minute) // tokens of before may be used to their end
	before := l.login.count()
	l.pass(10 * time.Minute)
	if n := l.login.count() - before; n > 6 { // each broker for itself would make eight
		l.fail("got %d token requests in two lifetimes after all faults, want at most 6", n)
	}
	if n := l.login.busiest(10*time.Second, 0); n > 45 {
		l.fail("got %d token requests in 10 s, want at most 45", n)
	}
}

// checkStorms checks the end, and the pauses between all token requests of one broker.
func (l *life) checkStorms() {
	b, began := l.brokers[0], time.Now()
	b.stop()
	if took := time.Since(began); took > 0 {
		l.fail("Run took %v to end", took)
	}
	if _, _, err := b.Wait(context.Background()); err != nil && !strings.Contains(err.Error(), "shutting down") {
		l.fail("after the end: %v", err)
	}
	requests := l.login.all()
	var lastCandidate, lastOwn *tokenRequest
	inUse := "good1/good1"
	for i := range requests {
		this := &requests[i]
		switch {
		case this.inFlight > 2:
			l.fail("three token requests at once")
		case this.inFlight == 2:
			if gap := this.at.Sub(requests[i-1].at); gap < 5*time.Second {
				l.fail("a second request %v after the one before, want 5s", gap)
			}
		case this.pair != inUse:
			if lastCandidate != nil && this.at.Sub(lastCandidate.ended) < time.Second {
				l.fail("candidates %v apart, want 1s: %+v %+v", this.at.Sub(lastCandidate.ended), *lastCandidate, *this)
			}
			lastCandidate = this
		case lastOwn != nil:
			least := time.Second
			if lastOwn.outcome == "" {
				least = 10 * time.Second // minAgeToReplaceRefusedToken; with the lifetimes here a refresh is due later
			}
			if gap := this.at.Sub(lastOwn.ended); gap < least {
				l.fail("requested again %v after %q", gap, lastOwn.outcome)
			}
			lastOwn = this
		default:
			lastOwn = this
		}
		if this.outcome == "" {
			inUse, lastOwn = this.pair, this
		}
	}
}
