package soak

import (
	"testing"
	"time"
)

func TestWarmUp(t *testing.T) {
	for run, want := range map[time.Duration]time.Duration{2 * time.Hour: 10 * time.Minute, 30 * time.Minute: 5 * time.Minute, 90 * time.Second: 15 * time.Second} {
		if got := warmUp(run); got != want {
			t.Errorf("warmUp(%v) = %v, want %v", run, got, want)
		}
	}
}

// readings returns a reading for each second of a run of an hour.
func readings(memory func(at time.Duration) float64) (all []usage) {
	for at := time.Duration(0); at < time.Hour; at += time.Second {
		all = append(all, usage{at: at, live: 2e6, resident: memory(at), goroutines: 30, descriptors: 30})
	}
	return all
}

func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		name    string
		memory  func(at time.Duration) float64
		tooMuch bool
	}{
		{"constant", func(time.Duration) float64 { return 20e6 }, false},
		{"grows only in the warm-up", func(at time.Duration) float64 { return 10e6 + min(at.Minutes(), 10)*1e6 }, false},
		{"grows by 9 %", func(at time.Duration) float64 { return 20e6 * (1 + 0.09*at.Hours()) }, false},
		{"grows by more than 10 %", func(at time.Duration) float64 { return 20e6 * (1 + 0.2*at.Hours()) }, true},
		{"bursts", func(at time.Duration) float64 { return 20e6 + float64(at/time.Second%60)*1e6 }, false},
		{"bursts and grows", func(at time.Duration) float64 { return 20e6*(1+at.Hours()) + float64(at/time.Second%60)*1e6 }, true},
	} {
		all, err := compare(readings(c.memory), time.Hour)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, g := range all {
			if got, want := g.tooMuch(), c.tooMuch && g.resource == "resident memory"; got != want {
				t.Errorf("%s: %s from %.0f to %.0f: got too much: %v, want %v", c.name, g.resource, g.before, g.after, got, want)
			}
		}
	}
}

func TestShortRunIgnoresResidentMemory(t *testing.T) {
	all, err := compare(readings(func(at time.Duration) float64 { return 1 + at.Seconds() }), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if g.tooMuch() {
			t.Errorf("%s: got too much growth from %.0f to %.0f, want none", g.resource, g.before, g.after)
		}
	}
}

func TestGrowthNeedsReadingsAtBothEnds(t *testing.T) {
	all := readings(func(time.Duration) float64 { return 1 })
	for _, part := range [][]usage{nil, all[:1200], all[3000:]} {
		if got, err := compare(part, time.Hour); err == nil {
			t.Errorf("%d readings: got %+v, want an error", len(part), got)
		}
	}
}

func TestGrowthWaitsForQuietTime(t *testing.T) {
	all := readings(func(time.Duration) float64 { return 20e6 })
	noisy := func(until time.Duration) (quiet []usage) { // from the end of the warm-up
		for _, u := range all {
			if u.at < warmUp(time.Hour) || u.at >= until {
				quiet = append(quiet, u)
			}
		}
		return quiet
	}
	if _, err := compare(noisy(25*time.Minute), time.Hour); err != nil {
		t.Errorf("quiet before the half: got %v, want no error", err)
	}
	if _, err := compare(noisy(30*time.Minute), time.Hour); err == nil {
		t.Error("noisy until the half: got no error, want one")
	}
}

func TestMetric(t *testing.T) {
	text := []byte("# HELP go_goroutines Number.\ngo_goroutines_other 7\ngo_goroutines 18\nprocess_resident_memory_bytes 1.8763776e+07\n")
	if got, err := metric(text, "process_resident_memory_bytes"); err != nil || got != 18763776 {
		t.Errorf("got %v, %v; want 18763776", got, err)
	}
	if got, err := metric(text, "go_goroutines"); err != nil || got != 18 {
		t.Errorf("got %v, %v; want 18", got, err)
	}
	if got, err := metric(text, "process_open_fds"); err == nil {
		t.Errorf("a missing series: got %v, want an error", got)
	}
}
