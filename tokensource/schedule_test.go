package tokensource

import (
	"testing"
	"time"
)

func TestRefreshDue(t *testing.T) {
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name     string
		lifetime time.Duration
		jitter   float64
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
			got := refreshDue(issued, tc.lifetime, tc.jitter).Sub(issued)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond { // floating-point rounding
				t.Errorf("refreshDue = issued + %v, want + %v", got, tc.want)
			}
		})
	}
}

func TestRetryDelay(t *testing.T) {
	unavailable := func(retryAfter time.Duration) *RefreshError {
		return &RefreshError{Outcome: OutcomeUnavailable, RetryAfter: retryAfter}
	}
	const almostOne = 1 - 1e-9
	for _, tc := range []struct {
		name     string
		failure  *RefreshError
		failures int
		jitter   float64
		want     time.Duration
	}{
		{"never below a second", unavailable(0), 1, 0, time.Second},
		{"first: up to 2 s", unavailable(0), 1, almostOne, 2 * time.Second},
		{"second: up to 4 s", unavailable(0), 2, almostOne, 4 * time.Second},
		{"fourth: up to 16 s", unavailable(0), 4, almostOne, 16 * time.Second},
		{"fifth: up to 30 s", unavailable(0), 5, almostOne, 30 * time.Second},
		{"the millionth does not overflow", unavailable(0), 1_000_000, almostOne, 30 * time.Second},
		{"full jitter: the lower end stays", unavailable(0), 9, 0, time.Second},
		{"Retry-After is a floor", unavailable(20 * time.Second), 1, 0, 20 * time.Second},
		{"Retry-After is not a ceiling", unavailable(2 * time.Second), 9, almostOne, 30 * time.Second},
		{"Retry-After is capped at 5 min", unavailable(time.Hour), 1, 0, 5 * time.Minute},
		{"an invalid response is retried like an outage", &RefreshError{Outcome: OutcomeInvalidResponse}, 1, 0, time.Second},
		{"a rejection waits 5 min", &RefreshError{Outcome: OutcomeRejected}, 1, 0, 5 * time.Minute},
		{"Retry-After does not shorten it", &RefreshError{Outcome: OutcomeRejected, RetryAfter: time.Second}, 1, 0, 5 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := retryDelay(tc.failure, tc.failures, tc.jitter)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond {
				t.Errorf("retryDelay = %v, want %v", got, tc.want)
			}
		})
	}
}

// The clocks diverge when a machine is suspended (the monotonic clock stops) or the wall clock is set.
func TestRemainingUsesFasterClock(t *testing.T) {
	const lifetime = 5 * time.Minute
	for _, tc := range []struct {
		name            string
		monotonic, wall time.Duration
		want            time.Duration
	}{
		{"both agree", time.Minute, time.Minute, 4 * time.Minute},
		{"suspended for an hour", time.Minute, 61 * time.Minute, -56 * time.Minute},
		{"set back an hour", time.Minute, -59 * time.Minute, 4 * time.Minute},
		{"set forward an hour", 0, time.Hour, -55 * time.Minute},
		{"to the end", lifetime, lifetime, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := remaining(lifetime, tc.monotonic, tc.wall); got != tc.want {
				t.Errorf("remaining = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTokenIsValidUntilExpiry(t *testing.T) {
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
		{"on a wall clock that was set forward", issued.Round(0).Add(2 * time.Minute), false},
		{"on a wall clock without a monotonic reading", issued.Round(0).Add(time.Second), true},
	} {
		if got := tok.valid(tc.at); got != tc.want {
			t.Errorf("%s: valid = %v, want %v", tc.name, got, tc.want)
		}
	}
	if (*token)(nil).valid(issued) {
		t.Error("a nil token is valid")
	}
}
