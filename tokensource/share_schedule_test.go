package tokensource

import (
	"testing"
	"time"
)

const almostOne = 0.999

// The leader refreshes first, then the followers look for its token.
func TestSharedRefreshTimes(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name     string
		spread   lifetimeFraction
		lifetime time.Duration
		random   float64
		want     time.Duration
	}{
		{"the leader", leaderRefreshSpread, 300 * time.Second, 0, 240 * time.Second},
		{"the leader, early", leaderRefreshSpread, 300 * time.Second, almostOne, 231009 * time.Millisecond},
		{"the leader, one second", leaderRefreshSpread, time.Second, 0, 800 * time.Millisecond},
		{"the leader, one second, early", leaderRefreshSpread, time.Second, almostOne, 770030 * time.Microsecond},
		{"the leader, the longest", leaderRefreshSpread, maxLifetime, 0, 19*time.Hour + 12*time.Minute},
		{"a follower", followerRefreshSpread, 300 * time.Second, 0, 240 * time.Second},
		{"a follower, late", followerRefreshSpread, 300 * time.Second, almostOne, 254985 * time.Millisecond},
		{"a follower, one second", followerRefreshSpread, time.Second, 0, 800 * time.Millisecond},
		{"a follower, one second, late", followerRefreshSpread, time.Second, almostOne, 849950 * time.Microsecond},
		{"no lifetime", followerRefreshSpread, 0, almostOne, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := refreshDue(issued, tc.lifetime, tc.spread, tc.random).Sub(issued)
			if diff := (got - tc.want).Abs(); diff > time.Microsecond {
				t.Errorf("got issued + %v, want + %v", got, tc.want)
			}
		})
	}
}

// A broker fetches without the lease before its token ends: after an error of the store, and, a little later, after a lost race
// for the lease.
func TestFetchTimeWithoutLease(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	fresh := func(lifetime time.Duration) *token { return &token{issued: issued, lifetime: lifetime} }
	refused := fresh(300 * time.Second)
	refused.refuse(issued)
	for _, tc := range []struct {
		name                 string
		known                *token
		age                  time.Duration
		random               float64
		afterError, lostRace time.Duration // from now
	}{
		{"no token", nil, 0, 0, 0, 2 * time.Second},
		{"no token, late", nil, 0, almostOne, 999 * time.Millisecond, 2999 * time.Millisecond},
		{"refused", refused, 60 * time.Second, 0, 0, 2 * time.Second},
		{"expired, late", fresh(300 * time.Second), 301 * time.Second, almostOne, 999 * time.Millisecond, 2999 * time.Millisecond},
		{"due", fresh(300 * time.Second), 240 * time.Second, 0, 0, 2 * time.Second},
		{"due, late", fresh(300 * time.Second), 240 * time.Second, almostOne, 29970 * time.Millisecond, 29970 * time.Millisecond},
		{"before it is due", fresh(300 * time.Second), 200 * time.Second, 0.5, 55 * time.Second, 55 * time.Second},
		{"at 90 %", fresh(300 * time.Second), 270 * time.Second, almostOne, 0, 2 * time.Second},
		{"in its last second", fresh(300 * time.Second), 299 * time.Second, 0, 0, 250 * time.Millisecond},
		{"one second", fresh(time.Second), 820 * time.Millisecond, almostOne, 0, 45 * time.Millisecond},
		{"five seconds, late", fresh(5 * time.Second), 3500 * time.Millisecond, almostOne, 500 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := issued.Add(tc.age)
			for minWait, want := range map[time.Duration]time.Duration{0: tc.afterError, minFallbackWaitAfterLostLease: tc.lostRace} {
				if got := fetchTimeWithoutLease(tc.known, now, minWait, tc.random).Sub(now); (got - want).Abs() > time.Microsecond {
					t.Errorf("minWait %v: got now + %v, want + %v", minWait, got, want)
				}
			}
		})
	}
}

// The pause of a fleet is that of one broker whose requests need a token. Its lease ends headStartOverFailedLeader before.
func TestFailedLeaderPause(t *testing.T) {
	t.Parallel()
	limited := &RefreshError{Outcome: OutcomeUnavailable, Status: 429, RetryAfter: 10 * time.Second}
	outage, rejection := &RefreshError{Status: 503}, &RefreshError{Outcome: OutcomeRejected, Status: 401}
	now := time.Now()
	for _, tc := range []struct {
		name         string
		failed       Lease
		remaining    time.Duration
		refusedSince time.Duration // 0: the API does not refuse the token
		want         time.Duration
	}{
		{"the token lives long", Lease{Failure: outage, Failures: 4}, 200 * time.Second, 0, 15985 * time.Millisecond},
		{"the token ends soon", Lease{Failure: outage, Failures: 4}, 16 * time.Second, 0, 2 * time.Second},
		{"in its last seconds", Lease{Failure: outage, Failures: 4}, 3 * time.Second, 0, time.Second},
		{"without a token", Lease{Failure: outage, Failures: 4}, -time.Second, 0, 2 * time.Second},
		{"in a long outage", Lease{Failure: outage, Failures: 9}, -time.Minute, 0, 5 * time.Second},
		{"with a refused token", Lease{Failure: outage, Failures: 9}, 200 * time.Second, time.Second, 2 * time.Second},
		{"with one that has been refused for long", Lease{Failure: outage, Failures: 9}, 200 * time.Second, time.Minute, 5 * time.Second},
		{"with a refused token that ends soon", Lease{Failure: outage, Failures: 9}, 3 * time.Second, time.Minute, time.Second},
		{"no broker tries before Retry-After", Lease{Failure: limited, Failures: 1}, 200 * time.Second, 0, 10*time.Second + headStartOverFailedLeader},
		{"one rejection after many failures", Lease{Failure: rejection, Failures: 9, Rejections: 1}, -time.Minute, 0, time.Second + headStartOverFailedLeader},
		{"a rejection that was not counted", Lease{Failure: rejection, Failures: 9}, 200 * time.Second, 0, time.Second + headStartOverFailedLeader},
		{"at most half a minute", Lease{Failure: rejection, Failures: 9, Rejections: 9}, -time.Minute, 0, 30*time.Second + headStartOverFailedLeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			known := &token{issued: now.Add(tc.remaining - 300*time.Second), lifetime: 300 * time.Second}
			if tc.refusedSince > 0 {
				known.refuse(now.Add(-tc.refusedSince))
			}
			if got := failedLeaderPause(tc.failed, known, now, almostOne); (got - tc.want).Abs() > 10*time.Millisecond {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// The store says how long a lease lasts, so it is not believed to last longer than a broker's.
func TestMaxPeerLeaseWait(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ends := func(remaining time.Duration) *token {
		return &token{issued: now.Add(remaining - 300*time.Second), lifetime: 300 * time.Second}
	}
	failed := &RefreshError{Status: 503}
	refused := ends(200 * time.Second)
	refused.refuse(now.Add(-time.Second))
	for _, tc := range []struct {
		name  string
		lease Lease
		known *token
		want  time.Duration
	}{
		{"a lease", Lease{Remaining: 9 * time.Second}, nil, 9 * time.Second},
		{"a long lease", Lease{Remaining: time.Hour}, nil, 15 * time.Second},
		{"a long pause", Lease{Remaining: time.Hour, Failure: failed}, nil, 30 * time.Second},
		{"while a token is fully valid", Lease{Remaining: time.Hour}, ends(20 * time.Second), 5 * time.Second},
		{"a pause while a token is fully valid", Lease{Remaining: time.Hour, Failure: failed}, ends(20 * time.Second), 5 * time.Second},
		{"a pause while the API refuses the token", Lease{Remaining: time.Hour, Failure: failed, Failures: 9}, refused, 2 * time.Second},
		{"after the token", Lease{Remaining: time.Hour}, ends(-time.Second), 15 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := maxPeerLeaseWait(tc.lease, tc.known, now); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
