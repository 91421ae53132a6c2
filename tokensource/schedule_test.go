package tokensource

import (
	"slices"
	"testing"
	"time"
)

func TestRefreshDue(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name     string
		lifetime time.Duration
		random   float64
		want     time.Duration
	}{
		{"at 80 %", 300 * time.Second, 0, 240 * time.Second},
		{"less up to 10 %", 300 * time.Second, 1, 210 * time.Second},
		{"in the middle", 300 * time.Second, 0.5, 225 * time.Second},
		{"one second", time.Second, 0, 800 * time.Millisecond},
		{"one second, early", time.Second, 1, 700 * time.Millisecond},
		{"the longest", maxLifetime, 0, 19*time.Hour + 12*time.Minute},
		{"none", 0, 0.5, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := refreshDue(issued, tc.lifetime, unsharedRefreshSpread, tc.random).Sub(issued)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond { // floating-point rounding
				t.Errorf("refreshDue = issued + %v, want + %v", got, tc.want)
			}
		})
	}
}

func TestPauseAfterFailures(t *testing.T) {
	t.Parallel()
	status := func(status int, retryAfter time.Duration) *RefreshError {
		return &RefreshError{Outcome: OutcomeUnavailable, Status: status, RetryAfter: retryAfter}
	}
	outage, sentAgain := status(503, 0), &RefreshError{Outcome: OutcomeUnavailable, sentAgain: true}
	const (
		almostOne = 1 - 1e-9
		second    = time.Second
		never     = -time.Hour // how long there has been no token
	)
	for _, tc := range []struct {
		name      string
		failure   *RefreshError
		failures  int
		remaining time.Duration
		needed    bool
		random    float64
		want      time.Duration
	}{
		{"never below a second", outage, 1, never, false, 0, second},
		{"first: up to 2 s", outage, 1, never, false, almostOne, 2 * second},
		{"second: up to 4 s", outage, 2, never, false, almostOne, 4 * second},
		{"fourth: up to 16 s", outage, 4, never, false, almostOne, 16 * second},
		{"fifth: up to 30 s", outage, 5, never, false, almostOne, 30 * second},
		{"the millionth does not overflow", outage, 1_000_000, never, false, almostOne, 30 * second},
		{"full jitter: the lower end stays", outage, 9, never, false, 0, second},
		{"an invalid response is retried like an outage", &RefreshError{Outcome: OutcomeInvalidResponse}, 1, never, false, 0, second},

		{"an eighth of what remains", outage, 9, 40 * second, false, almostOne, 5 * second},
		{"an eighth, but less by chance", outage, 9, 40 * second, false, 0.1, 3900 * time.Millisecond},
		{"an eighth, but at least a second", outage, 9, 2 * second, true, almostOne, second},
		{"much remains", outage, 2, 240 * second, true, almostOne, 4 * second},
		{"nothing remains, requests need a token", outage, 9, 0, true, almostOne, 2 * second},
		{"nor for 29 s", outage, 9, -29 * second, true, almostOne, 2 * second},
		{"nor for 30 s", outage, 9, -30 * second, true, almostOne, 5 * second},
		{"a shorter pause stays", outage, 1, -30 * second, true, 0.5, 1500 * time.Millisecond},
		{"a 403 for 29 s", status(403, 0), 9, -29 * second, true, almostOne, 2 * second},
		{"a 403 for 30 s", status(403, 0), 9, -30 * second, true, almostOne, 30 * second},
		{"a 404 for 30 s", status(404, 0), 9, -30 * second, true, almostOne, 30 * second},
		{"a 408 for 30 s", status(408, 0), 9, -30 * second, true, almostOne, 5 * second},
		{"a 425 for 30 s", status(425, 0), 9, -30 * second, true, almostOne, 5 * second},
		{"a 429 for 30 s", status(429, 0), 9, -30 * second, true, almostOne, 5 * second},
		{"no answer for 30 s", &RefreshError{timedOut: true}, 9, -30 * second, true, almostOne, second},
		{"nor does a request need a token", &RefreshError{timedOut: true}, 9, -30 * second, false, almostOne, 30 * second},

		{"the known token at its end", sentAgain, 1, 0, true, almostOne, minRefreshInterval},
		{"for a second", sentAgain, 9, -999 * time.Millisecond, false, almostOne, minRefreshInterval},
		{"after that, as usual", sentAgain, 9, -second, true, almostOne, 2 * second},
		{"and before", sentAgain, 9, 40 * second, true, almostOne, 5 * second},

		{"Retry-After is a lower bound", status(503, 20*second), 1, 200 * second, false, 0, 20 * second},
		{"Retry-After is no upper bound", status(503, 2*second), 9, 240 * second, false, almostOne, 30 * second},
		{"Retry-After counts up to 5 min", status(503, time.Hour), 1, time.Hour, true, 0, 5 * time.Minute},
		{"but there is an attempt 5 s before the end", status(503, time.Hour), 1, 60 * second, false, 0, 55 * second},
		{"also after a 429", status(429, time.Hour), 1, 60 * second, false, 0, 55 * second},
		{"which is never sooner than in a second", status(503, time.Hour), 1, 5500 * time.Millisecond, false, 0, second},
		{"after that one it does not count", status(503, time.Hour), 1, 5 * second, false, almostOne, second},
		{"except that of a 429", status(429, time.Hour), 1, 5 * second, true, 0, 5 * time.Minute},
		{"after the end it does not count", status(503, time.Hour), 9, -second, true, almostOne, 2 * second},
		{"except that of a 429", status(429, 90*second), 9, -second, true, almostOne, 90 * second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := pauseAfterFailures(tc.failure, tc.failures, tc.remaining, tc.needed, tc.random)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond {
				t.Errorf("pauseAfterFailures = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPauseAfterRejections(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for n := 1; n <= 9; n++ {
		got = append(got, pauseAfterRejections(n, 0, true, 0)/time.Second)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}; !slices.Equal(got, want) {
		t.Errorf("pauseAfterRejections of a changed pair = %d s, want %d s", got, want)
	}
	for name, got := range map[string]time.Duration{
		"after ten minutes":           pauseAfterRejections(20, 10*time.Minute, true, 0),
		"of a pair that has worked":   pauseAfterRejections(2, time.Second, false, 0),
		"many rejections in a minute": pauseAfterRejections(1_000_000, 10*time.Minute, true, 0),
	} {
		if got != 5*time.Minute {
			t.Errorf("pauseAfterRejections %s = %v, want 5m", name, got)
		}
	}
	if got := pauseAfterRejections(1_000_000, time.Minute, true, 0); got != time.Minute {
		t.Errorf("pauseAfterRejections after a million rejections = %v, want 1m", got)
	}
	for remaining, want := range map[time.Duration]time.Duration{
		80 * time.Second: 10 * time.Second, 30 * time.Second: 5 * time.Second, 8 * time.Second: 3 * time.Second,
		5500 * time.Millisecond: time.Second, 5 * time.Second: 5 * time.Second, -time.Minute: 5 * time.Minute,
	} {
		if got := pauseAfterRejections(2, time.Second, false, remaining); got != want {
			t.Errorf("pauseAfterRejections with %v left = %v, want %v", remaining, got, want)
		}
	}
}

func TestTokenIsValidUntilExpiry(t *testing.T) {
	t.Parallel()
	issued := time.Now()
	tok := &token{issued: issued, lifetime: time.Minute}
	for _, tc := range []struct {
		name string
		at   time.Time
		want bool
	}{
		{"at once", issued, true},
		{"just before", issued.Add(time.Minute - 1), true},
		{"at the end", issued.Add(time.Minute), false},
		{"after", issued.Add(time.Hour), false},
	} {
		if got := tok.valid(tc.at); got != tc.want {
			t.Errorf("%s: valid = %v, want %v", tc.name, got, tc.want)
		}
	}
	if (*token)(nil).valid(issued) {
		t.Error("a nil token is valid")
	}
}
