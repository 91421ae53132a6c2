package soak

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// steps draws the first steps of a plan.
func steps(seed uint64, duration time.Duration, hasStore bool, count int) (all []step) {
	p := newPlanner(rand.New(rand.NewPCG(seed, 0)), duration, hasStore)
	for range count {
		all = append(all, p.next())
	}
	return all
}

func TestSameSeedRepeatsThePlan(t *testing.T) {
	first, again, other := steps(1, time.Hour, true, 100), steps(1, time.Hour, true, 100), steps(2, time.Hour, true, 100)
	if !reflect.DeepEqual(first, again) {
		t.Error("got different steps with the same seed, want the same")
	}
	if reflect.DeepEqual(first, other) {
		t.Error("got the same steps with different seeds, want different ones")
	}
}

func TestEveryKindComesOnceInARound(t *testing.T) {
	seen := map[string]int{}
	for _, s := range steps(1, 2*time.Hour, true, 3*len(kinds)) {
		seen[s.name]++
		if s.length < s.min || s.length > s.max || s.pause < minPause || s.pause > maxPause {
			t.Errorf("%s: got a length of %v after a pause of %v, want one between %v and %v after %v to %v",
				s.name, s.length, s.pause, s.min, s.max, minPause, maxPause)
		}
	}
	for _, k := range kinds {
		if seen[k.name] != 3 {
			t.Errorf("got %s %d times in three rounds, want 3", k.name, seen[k.name])
		}
	}
}

func TestPlanOmitsWhatCannotBeJudged(t *testing.T) {
	for _, c := range []struct {
		name     string
		duration time.Duration
		hasStore bool
		omitted  string
	}{
		{"a short run", time.Minute, true, loginOutage},
		{"no store", 2 * time.Hour, false, storeRestarts},
		{"no store", 2 * time.Hour, false, storeHangs},
	} {
		for _, s := range steps(1, c.duration, c.hasStore, 2*len(kinds)) {
			if s.name == c.omitted {
				t.Errorf("%s: got %q in the plan, want it omitted", c.name, s.name)
			}
		}
	}
}

// A login server that fails while a token has its last 8 s explains no lost request.
func TestUnexcusedLoginFailuresAreShorterThanATokenLasts(t *testing.T) {
	for _, k := range kinds {
		if login := len(k.name) > 12 && k.name[:12] == "login server"; login && len(k.excuses) == 0 && k.max >= tokenLifetime/5 {
			t.Errorf("%s: got a maximum of %v, want less than %v", k.name, k.max, tokenLifetime/5)
		}
	}
}
