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

// scenario is what happens to a fleet whose replicas all start at once.
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

// most returns the greatest number of token requests in one second, from a moment on.
func (f figures) most(from time.Duration) (most int) {
	for _, n := range f.perSecond[int(from.Seconds()):] {
		most = max(most, n)
	}
	return most
}

// simulate runs real sources. After the first second, each must have a token all the time.
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
			t.Errorf("%d replicas have no token, want 0", n)
		}
		for _, request := range f.login.all() {
			if second := int(request.at.Sub(f.began).Seconds()); second < len(result.perSecond) {
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

// fleetSizes returns the numbers of replicas to simulate: 100, with FLEET_MODEL=1000 also 1,000, which takes ten seconds, and with
// FLEET_MODEL=all also 10,000, which takes minutes.
func fleetSizes() []int {
	switch os.Getenv("FLEET_MODEL") {
	case "all":
		return []int{100, 1000, 10_000}
	case "1000":
		return []int{100, 1000}
	default:
		return []int{100}
	}
}

// A fleet with a store makes as many token requests as one broker, also in an outage and after a revocation. Once the store is
// killed, no replica loses its token, and the requests are spread.
func TestFleetModel(t *testing.T) {
	t.Parallel()
	for _, replicas := range fleetSizes() {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			t.Run("with the store", func(t *testing.T) {
				if got := simulate(t, replicas, shared); got.perLifetime > 1.35 || got.perSecond[0] != 1 || got.most(time.Second) > 1 || got.operations > 8 {
					t.Errorf("got %+v, want at most 1.35 requests in a lifetime, and 1 in any second", got)
				}
			})
			t.Run("the store is killed", func(t *testing.T) {
				most := replicas / 10
				if replicas < 1000 {
					most = replicas * 14 / 100 // 3.3 on average, and more than 14 once in 100,000 runs
				}
				if got := simulate(t, replicas, killed); got.perLifetime > 1.35*float64(replicas) || got.most(time.Second) > most {
					t.Errorf("got %+v, want at most %d requests in any second", got, most)
				}
			})
			t.Run("an outage of ten minutes", func(t *testing.T) {
				inBubbleOf(t, replicas, fleetLifetime, func(f *fleet) {
					f.mayLoseTokens()
					f.at(100 * time.Second)
					f.login.set(isDown)
					n := f.requestsDuring(func() { f.pass(10 * time.Minute) })
					t.Logf("%d requests in an outage of ten minutes", n)
					if n > 160 {
						t.Errorf("got %d requests in an outage of ten minutes, want at most 160", n)
					}
					f.login.set("")
					f.pass(7 * time.Second)
					if n := f.withoutToken(); n != 0 {
						t.Errorf("%d replicas have no token 7 s after the outage, want 0", n)
					}
				})
			})
			t.Run("a revoked token", func(t *testing.T) {
				inBubbleOf(t, replicas, fleetLifetime, func(f *fleet) {
					f.at(30 * time.Second)
					revoked, _, _ := f.brokers[0].Current()
					n := f.requestsDuring(func() {
						for _, b := range f.brokers {
							b.Invalidate(revoked)
						}
						f.pass(2 * time.Second)
					})
					if n != 1 {
						t.Errorf("got %d token requests, want 1", n)
					}
					for i, b := range f.brokers {
						if value, _, ok := b.Current(); !ok || value == revoked {
							t.Fatalf("replica %d has %q, want another token", i, value)
						}
					}
				})
			})
		})
	}
}

func TestFleetWithoutStore(t *testing.T) {
	t.Parallel()
	const replicas = 100
	if got := simulate(t, replicas, separate); got.perLifetime < replicas || got.perLifetime > 1.5*replicas {
		t.Errorf("got %+v, want one token request for each replica and lifetime", got)
	}
}

// TestFleetPicture draws ../docs/pictures/fleet.svg. It runs only with FLEET_PICTURE=1, because ten thousand replicas take a
// while.
func TestFleetPicture(t *testing.T) {
	t.Parallel()
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
