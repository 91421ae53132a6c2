package tokensource

import (
	"testing"
	"time"
)

// A login server with a cache may send the previous token once more.
func TestKeepsBetterTokenThanPreviousOne(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name              string
		current, previous time.Duration // what remains of the tokens
		refused           bool
		want              string
	}{
		{"it ends earlier", 300 * time.Second, 100 * time.Second, false, "current"},
		{"it ends later", 100 * time.Second, 300 * time.Second, false, "previous"},
		{"the current one is refused", 300 * time.Second, 100 * time.Second, true, "previous"},
		{"the current one has expired", 0, 100 * time.Second, false, "previous"},
	} {
		held := func(name string, remaining time.Duration) *token {
			return &token{authorization: name, issued: now, received: now, lifetime: remaining}
		}
		s := &state{token: held("current", tc.current), previous: held("previous", tc.previous)}
		if tc.refused {
			s.token.refuse(now)
		}
		fresh := held("previous", time.Hour)
		fresh.limit(s.token, s.previous)
		fresh.refreshAt = now.Add(fresh.lifetime * 8 / 10)
		s.recordSuccess(fresh, now)
		if s.token.authorization != tc.want {
			t.Errorf("%s: got the %s token, want the %s one", tc.name, s.token.authorization, tc.want)
		}
		if latest := now.Add(s.token.remaining(now)); s.nextAttempt.After(latest) {
			t.Errorf("%s: the next attempt comes %v after the token's end", tc.name, s.nextAttempt.Sub(latest))
		}
	}
}
