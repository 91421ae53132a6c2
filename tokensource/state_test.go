package tokensource

import (
	"testing"
	"time"
	"unsafe"
)

// A login server with a cache may send the previous token once more.
func TestKeepsBetterTokenThanPreviousOne(t *testing.T) {
	t.Parallel()
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
		s := &publishedState{token: held("current", tc.current), previous: held("previous", tc.previous)}
		if tc.refused {
			s.token.refuse(now)
		}
		fresh := held("previous", time.Hour)
		fresh.capAtKnownExpiry(s.token, s.previous)
		fresh.refreshAt = now.Add(fresh.lifetime * 8 / 10)
		s.recordSuccess(fresh, now)
		if s.token.authorization != tc.want {
			t.Errorf("%s: got the %s token, want the %s one", tc.name, s.token.authorization, tc.want)
		}
		if latest := now.Add(s.token.remaining(now)); s.NextAttempt.After(latest) {
			t.Errorf("%s: the next attempt comes %v after the token's end", tc.name, s.NextAttempt.Sub(latest))
		}
	}
}

// A token request whose machine is suspended brings a token that may have expired meanwhile: it is sent, but replaced at once.
func TestSuspendDuringTokenRequestCountsForToken(t *testing.T) {
	t.Parallel()
	sent := time.Now()
	for _, tc := range []struct {
		suspended time.Duration
		want      bool // that the token is fully valid
	}{{0, true}, {4 * time.Minute, true}, {time.Hour, false}, {-time.Hour, true}} { // or else, the wall clock was set
		received := sent.Add(time.Second)
		// The first word of a time with a monotonic reading has the seconds of the wall clock above 30 bits of nanoseconds.
		*(*uint64)(unsafe.Pointer(&received)) += uint64(tc.suspended/time.Second) << 30
		if got := received.Sub(sent); got != time.Second || received.Round(0).Sub(sent.Round(0)) != time.Second+tc.suspended {
			t.Fatalf("got times %v apart by the monotonic clock, and %v by the wall clock", got, received.Round(0).Sub(sent.Round(0)))
		}
		s := &publishedState{}
		s.recordSuccess(&token{authorization: "new", issued: sent, received: received, lifetime: 5 * time.Minute}, received)
		if fullyValid, justReceived := s.token.fullyValid(received), s.token.isJustReceived(received); !s.token.valid(received) || fullyValid != tc.want || justReceived != tc.want {
			t.Errorf("suspended for %v: got fully valid %t and just received %t, want %t", tc.suspended, fullyValid, justReceived, tc.want)
		}
		if latest := received.Round(0).Add(5 * time.Minute); s.token.wallExpiry.After(latest) {
			t.Errorf("suspended for %v: the token expires %v later than it can", tc.suspended, s.token.wallExpiry.Sub(latest))
		}
	}
}
