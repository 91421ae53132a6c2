package tokensource_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What the replicas of a fleet have in common.
const (
	fleetLifetime = 300 * time.Second
	fleetRecorded = 2 * fleetLifetime // for the picture
)

// scenario is what happens to a fleet of which all start at once.
type scenario struct {
	name  string
	class string // in the picture
	store bool
	dies  time.Duration // when the store does; 0: it does not
}

var (
	separate = scenario{name: "without a store", class: "separate"}
	shared   = scenario{name: "with a store", class: "store", store: true}
	killed   = scenario{name: "the store dies after 150 s", class: "dies", store: true, dies: fleetLifetime / 2}
)

// figures are the results of a simulation.
type figures struct {
	scenario
	replicas    int
	perSecond   []int   // token requests in each second of the first two lifetimes
	perLifetime float64 // token requests, over the six lifetimes that follow
	operations  float64 // of the store, by replica and lifetime
}

// most is the greatest number of token requests in one second, of those from a moment on.
func (f figures) most(from time.Duration) (most int) {
	for _, n := range f.perSecond[int(from.Seconds()):] {
		most = max(most, n)
	}
	return most
}

// simulate runs so many real sources, which must not be without a token after the first second.
func simulate(t *testing.T, replicas int, s scenario) figures {
	t.Helper()
	result := figures{scenario: s, replicas: replicas, perSecond: make([]int, int(fleetRecorded.Seconds()))}
	synctest.Test(t, func(t *testing.T) {
		var store *memoryStore
		if s.store {
			store = newMemoryStore()
		}
		f := newFleet(t, replicas, fleetLifetime, store)
		if s.dies > 0 {
			f.at(s.dies)
			store.set(away)
		}
		f.at(fleetRecorded)
		if n := f.withoutToken(); n != 0 {
			t.Errorf("%d replicas have no token", n)
		}
		for _, at := range f.login.requests {
			if second := int(at.Sub(f.began).Seconds()); second < len(result.perSecond) {
				result.perSecond[second]++
			}
		}
		const more = 6
		operations := 0
		if s.store {
			operations = store.operations()
		}
		result.perLifetime = float64(f.requestsDuring(func() { f.pass(more * fleetLifetime) })) / more
		if s.store {
			result.operations = float64(store.operations()-operations) / more / float64(replicas)
		}
	})
	t.Logf("%6d replicas, %s: %.2f token requests a lifetime; at most %d in a second after the start, %d afterwards; %.1f operations of the store for each replica in a lifetime",
		replicas, s.name, result.perLifetime, result.perSecond[0], result.most(10*time.Second), result.operations)
	return result
}

// TestFleet holds that a store makes the token requests of many replicas those of one, and that they are spread where it
// dies.
func TestFleet(t *testing.T) {
	const replicas = 150
	if got := simulate(t, replicas, separate); got.perLifetime < replicas || got.perLifetime > 1.5*replicas {
		t.Errorf("without a store: %+v", got)
	}
	if got := simulate(t, replicas, shared); got.perLifetime > 1.5 || got.perSecond[0] != 1 || got.most(time.Second) > 1 || got.operations > 8 {
		t.Errorf("with a store: %+v", got)
	}
	// From 82 to 95 % of the lifetime, within 39 s: four a second on average. The busiest second is random: 20 occur once in 40
	// runs.
	if got := simulate(t, replicas, killed); got.perLifetime > 1.5*replicas || got.most(time.Second) > replicas/5 {
		t.Errorf("without the store that there was: %+v", got)
	}
}

// TestFleetPicture draws ../docs/pictures/fleet.svg. It is asked for with FLEET_PICTURE=1, since ten thousand replicas take
// a while.
func TestFleetPicture(t *testing.T) {
	if os.Getenv("FLEET_PICTURE") == "" {
		t.Skip("FLEET_PICTURE is not set: docs/pictures/fleet.svg stays as it is")
	}
	var all []figures
	for _, replicas := range []int{100, 1000, 10_000} {
		for _, s := range []scenario{separate, shared, killed} {
			t.Run(fmt.Sprintf("%d %s", replicas, s.name), func(t *testing.T) { all = append(all, simulate(t, replicas, s)) })
		}
	}
	if t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join("..", "docs", "pictures", "fleet.svg"), []byte(drawFleet(all)), 0o644); err != nil {
		t.Fatal(err)
	}
}
