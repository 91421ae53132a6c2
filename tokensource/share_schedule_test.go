package tokensource

import (
	"testing"
	"time"
)

// TestSharedDue holds the order of things in the life of a shared token: the leader, then those who follow, then, if nothing
// came of it, each for itself.
func TestSharedDue(t *testing.T) {
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	const almostOne = 0.999
	for _, tc := range []struct {
		name     string
		due      func(time.Time, time.Duration, float64) time.Time
		lifetime time.Duration
		random   float64
		want     time.Duration
	}{
		{"the leader", leaderRefreshAt, 300 * time.Second, 0, 240 * time.Second},
		{"the leader, early", leaderRefreshAt, 300 * time.Second, almostOne, 231009 * time.Millisecond},
		{"the leader, one second", leaderRefreshAt, time.Second, 0, 800 * time.Millisecond},
		{"the leader, one second, early", leaderRefreshAt, time.Second, almostOne, 770030 * time.Microsecond},
		{"the leader, the longest", leaderRefreshAt, maxLifetime, 0, 19*time.Hour + 12*time.Minute},
		{"a follower", followerRefreshAt, 300 * time.Second, 0, 246 * time.Second},
		{"a follower, late", followerRefreshAt, 300 * time.Second, almostOne, 260985 * time.Millisecond},
		{"a follower, one second", followerRefreshAt, time.Second, 0, 820 * time.Millisecond},
		{"a follower, one second, late", followerRefreshAt, time.Second, almostOne, 869950 * time.Microsecond},
		{"none", followerRefreshAt, 0, almostOne, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.due(issued, tc.lifetime, tc.random).Sub(issued)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond {
				t.Errorf("issued + %v, want + %v", got, tc.want)
			}
		})
	}
}

// TestAlone holds when a broker fetches by itself: because another one is at it for too long, or because the store is away.
func TestAlone(t *testing.T) {
	const almostOne = 0.999
	refused := func(lifetime time.Duration) *token {
		had := &token{lifetime: lifetime}
		had.refused.Store(true)
		return had
	}
	fresh := func(lifetime time.Duration) *token { return &token{lifetime: lifetime} }
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name          string
		had           *token
		age           time.Duration
		failures      int
		random        float64
		stand, spread time.Duration // from now
	}{
		{"none", nil, 0, 0, 0, 3 * time.Second, 0},
		{"none, late", nil, 0, 0, almostOne, 3999500 * time.Microsecond, 999 * time.Millisecond},
		{"refused", refused(300 * time.Second), 60 * time.Second, 0, 0, 3 * time.Second, 0},
		{"refused, late", refused(300 * time.Second), 60 * time.Second, 0, almostOne, 3999500 * time.Microsecond, 999 * time.Millisecond},
		{"dead", fresh(300 * time.Second), 301 * time.Second, 0, almostOne, 3999500 * time.Microsecond, 999 * time.Millisecond},
		{"none, in an outage", nil, 0, 1, 0, 20 * time.Second, 0},
		{"none, in an outage, late", nil, 0, 1, almostOne, 24995 * time.Millisecond, 999 * time.Millisecond},
		{"due", fresh(300 * time.Second), 240 * time.Second, 0, 0, 30 * time.Second, 0},
		{"due, late", fresh(300 * time.Second), 240 * time.Second, 0, almostOne, 44985 * time.Millisecond, 29970 * time.Millisecond},
		{"at 90 %", fresh(300 * time.Second), 270 * time.Second, 0, 0, time.Second, 0},
		{"at 95 %", fresh(300 * time.Second), 285 * time.Second, 0, almostOne, time.Second, 0},
		{"in its last second", fresh(300 * time.Second), 299 * time.Second, 0, almostOne, 250 * time.Millisecond, 0},
		{"one second", fresh(time.Second), 820 * time.Millisecond, 0, 0, 80 * time.Millisecond, 0},
		{"one second, late", fresh(time.Second), 820 * time.Millisecond, 0, almostOne, 129950 * time.Microsecond, 0},
		{"five seconds, late", fresh(5 * time.Second), 3500 * time.Millisecond, 0, almostOne, 1249750 * time.Microsecond, 499500 * time.Microsecond},
		{"one second, at its end", fresh(time.Second), 960 * time.Millisecond, 0, almostOne, 10 * time.Millisecond, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.had != nil {
				tc.had.issued = issued
			}
			now := issued.Add(tc.age)
			if got := standAlone(tc.had, now, tc.failures, tc.random).Sub(now); (got - tc.stand).Abs() > time.Microsecond {
				t.Errorf("standAlone = now + %v, want + %v", got, tc.stand)
			}
			if got := spreadAlone(tc.had, now, tc.random).Sub(now); (got - tc.spread).Abs() > time.Microsecond {
				t.Errorf("spreadAlone = now + %v, want + %v", got, tc.spread)
			}
		})
	}
}

func TestTurnPause(t *testing.T) {
	const almostOne = 1 - 1e-9
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	unavailable := func(retryAfter time.Duration) *RefreshError {
		return &RefreshError{Outcome: OutcomeUnavailable, RetryAfter: retryAfter}
	}
	rejection := &RefreshError{Outcome: OutcomeRejected}
	for _, tc := range []struct {
		name     string
		failure  *RefreshError
		failures int
		left     time.Duration // of the token; 0: there is none
		random   float64
		want     time.Duration
	}{
		{"never below a second", unavailable(0), 1, 0, 0, time.Second},
		{"first: up to 2 s", unavailable(0), 1, 0, almostOne, 2 * time.Second},
		{"ninth: up to 30 s", unavailable(0), 9, 0, almostOne, 30 * time.Second},
		{"with time enough", unavailable(0), 2, time.Minute, almostOne, 4 * time.Second},
		{"an eighth of what is left", unavailable(0), 9, 40 * time.Second, almostOne, 5 * time.Second},
		{"but no less than a second", unavailable(0), 9, 2 * time.Second, almostOne, time.Second},
		{"Retry-After is a floor", unavailable(20 * time.Second), 1, 40 * time.Second, 0, 20 * time.Second},
		{"up to 30 s", unavailable(time.Hour), 1, 0, 0, 30 * time.Second},
		{"a rejection begins as others do", rejection, 1, 0, 0, 2 * time.Second},
		{"and is not tried soon by chance", rejection, 9, 0, 0, 30 * time.Second},
		{"an odd answer", &RefreshError{Outcome: OutcomeInvalidResponse}, 3, 0, almostOne, 8 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var had *token
			if tc.left > 0 {
				had = &token{issued: issued, lifetime: 300 * time.Second}
			}
			got := turnPause(tc.failure, tc.failures, had, issued.Add(300*time.Second-tc.left), tc.random)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond {
				t.Errorf("turnPause = %v, want %v", got, tc.want)
			}
		})
	}
}
