package soak

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyADisturbanceAtThatTimeExplainsAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		start := time.Now()
		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		time.Sleep(10 * time.Second)
		w := j.open(kind{name: "outage", excuses: []string{"503 of the broker"}, delay: 5 * time.Second, recovery: 3 * time.Second})
		if got := j.excuse("503 of the broker", at(16), at(16)); got != "outage" {
			t.Errorf("during a disturbance that has not ended: got %q, want \"outage\"", got)
		}
		time.Sleep(10 * time.Second)
		j.close(w)
		for _, c := range []struct {
			outcome    string
			start, end int
			want       string
		}{
			{"503 of the broker", 8, 9, ""},
			{"503 of the broker", 10, 14, ""}, // within the delay
			{"503 of the broker", 10, 15, "outage"},
			{"503 of the broker", 23, 24, "outage"}, // within the recovery
			{"503 of the broker", 24, 24, ""},
			{"502 of the broker", 16, 17, ""},
		} {
			if got := j.excuse(c.outcome, at(c.start), at(c.end)); got != c.want {
				t.Errorf("%s from second %d to %d: got %q, want %q", c.outcome, c.start, c.end, got, c.want)
			}
		}
	})
}

func TestQuietAfterTheEffectsOfAllDisturbances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		check := func(when string, want bool) {
			t.Helper()
			if got := j.quiet(time.Now()); got != want {
				t.Errorf("%s: got quiet %v, want %v", when, got, want)
			}
		}
		check("at the start", true)
		w := j.open(kind{recovery: time.Second, settle: 5 * time.Second})
		check("during a disturbance", false)
		j.close(w)
		time.Sleep(4 * time.Second)
		check("4 s after it", false)
		time.Sleep(2 * time.Second)
		check("6 s after it", true)
	})
}

func TestCountsLossesWithoutACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := newTally(&journal{})
		w := count.journal.open(kind{name: "fault", excuses: []string{"503 of the API"}})
		now := time.Now()
		count.add(succeeded, "GET /", now, now)
		count.add("503 of the API", "GET /", now, now)
		count.add("502 of the broker", "GET /lost", now, now)
		count.add(notSent, "GET /", now, now)
		count.journal.close(w)
		requests, lost, reports := count.snapshot()
		want := map[result]int{{succeeded, ""}: 1, {"503 of the API", "fault"}: 1, {"502 of the broker", ""}: 1, {notSent, ""}: 1}
		for r, n := range want {
			if requests[r] != n {
				t.Errorf("%+v: got %d requests, want %d", r, requests[r], n)
			}
		}
		if lost != 1 || len(reports) != 1 {
			t.Errorf("got %d lost requests and the reports %q, want one of each", lost, reports)
		}
	})
}
