package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

// Who can write to the store puts there what brokers did not. Nothing of it is believed, and the next token that is
// fetched takes its place.
func TestPoison(t *testing.T) {
	t.Parallel()
	const later = 3_600_000 // milliseconds
	for name, poison := range map[string]func(s *server, token, lease string){
		"token is text":           func(s *server, token, _ string) { s.do("HSET", token, "token", accessToken) },
		"token is empty":          func(s *server, token, _ string) { s.do("HSET", token, "token", "") },
		"token is missing":        func(s *server, token, _ string) { s.do("HDEL", token, "token") },
		"token is huge":           func(s *server, token, _ string) { s.do("HSET", token, "token", strings.Repeat("x", 3<<20)) },
		"token is large":          func(s *server, token, _ string) { s.do("HSET", token, "token", strings.Repeat("x", 400_000)) },
		"token never ends":        func(s *server, token, _ string) { s.do("PERSIST", token) },
		"fence is missing":        func(s *server, token, _ string) { s.do("HDEL", token, "fence") },
		"fence is another":        func(s *server, token, _ string) { s.do("HINCRBY", token, "fence", 1) },
		"fence is a little ahead": func(s *server, token, _ string) { s.do("HINCRBY", token, "fence", 3_600_000_000) },
		"fence is far ahead":      func(s *server, token, _ string) { s.do("HSET", token, "fence", "9007199254740991") },
		"fence is too large":      func(s *server, token, _ string) { s.do("HSET", token, "fence", "99999999999999999999") },
		"fence is endless":        func(s *server, token, _ string) { s.do("HSET", token, "fence", "inf") },
		"fence is none":           func(s *server, token, _ string) { s.do("HSET", token, "fence", "nan") },
		"fence is negative":       func(s *server, token, _ string) { s.do("HSET", token, "fence", "-5") },
		"fence is negative, huge": func(s *server, token, _ string) { s.do("HSET", token, "fence", "-1e300") },
		"fence is small":          func(s *server, token, _ string) { s.do("HSET", token, "fence", "0.4") },
		"fence is hexadecimal":    func(s *server, token, _ string) { s.do("HSET", token, "fence", "0x10") },
		"fence is a word":         func(s *server, token, _ string) { s.do("HSET", token, "fence", "soon") },
		"fence is long":           func(s *server, token, _ string) { s.do("HSET", token, "fence", strings.Repeat("1", 3<<20)) },
		"lease never ends":        func(s *server, _, lease string) { s.do("SET", lease, "held:1") },
		"lease lasts for years":   func(s *server, _, lease string) { s.do("SET", lease, "held:1", "PX", "9000000000000") },
		"lease is huge":           func(s *server, _, lease string) { s.do("SET", lease, strings.Repeat("x", 3<<20), "PX", later) },
	} {
		for _, end := range []string{"", ", without an end"} {
			t.Run(name+end, func(t *testing.T) {
				t.Parallel()
				s := start(t)
				one, other := twoPlaces(t, s)
				first := lead(t, one, tokensource.Known{}, time.Minute)
				issued := newToken(first)
				put(t, one, issued)
				key := s.key(":token")
				poison(s, key, strings.TrimSuffix(key, ":token")+":lease")
				if end != "" {
					s.do("PERSIST", key)
				}

				var had tokensource.Known
				if token := look(t, other, had); token != nil {
					same(t, token, issued) // where it is the lease that was changed
					had.FencingToken = first
				}
				fence := lead(t, other, had, time.Minute)
				if fence <= first {
					t.Errorf("fence %d after %d", fence, first)
				}
				token := newToken(fence)
				put(t, other, token)
				if got := look(t, one, tokensource.Known{}); got == nil || !got.AccessToken.Equal(token.AccessToken) {
					t.Errorf("after the next one was fetched, Get = %+v", got)
				}
			})
		}
	}
}

// A record in a place where it does not belong is none, though it was sealed by a broker.
func TestRecordsStayInTheirPlace(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]tokensource.Credentials{
		"another client": credentials("another", clientSecret),
		"a new secret":   credentials(clientID, "new"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := newBroker(t, s.url)
			mine := b.place()
			fence := lead(t, mine, tokensource.Known{}, time.Minute)
			put(t, mine, newToken(fence))
			key := s.key(":token")
			s.do("RENAME", key, "theirs")
			theirs := b.Entry(pair, endpoint, func() {})
			other := newToken(lead(t, theirs, tokensource.Known{}, time.Minute))
			put(t, theirs, other)
			theirKey := s.key(":token")
			if theirKey == key {
				t.Fatal("both have one key")
			}
			s.do("RENAME", theirKey, key)

			if token := look(t, mine, tokensource.Known{}); token != nil {
				t.Errorf("another pair's token is read: %+v", token)
			}
			put(t, mine, newToken(lead(t, mine, tokensource.Known{}, time.Minute)))
			if look(t, mine, tokensource.Known{}) == nil {
				t.Error("it was not overwritten")
			}
		})
	}
}

// A token that was refused cannot be brought back as a newer one.
func TestTokenIsNotPutBackAsNewer(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, _ := twoPlaces(t, s)
	fence := lead(t, one, tokensource.Known{}, time.Minute)
	put(t, one, newToken(fence))
	s.do("HINCRBY", s.key(":token"), "fence", 1)
	if token := look(t, one, tokensource.Known{FencingToken: fence}); token != nil {
		t.Errorf("it is: %+v", token)
	}
}

// A sealed token is no failure, a sealed failure no token, and what somebody else says failed has no reason.
func TestFailureThatIsNone(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoPlaces(t, s)
	fence := lead(t, one, tokensource.Known{}, time.Minute)
	failure := &tokensource.SharedFailure{RefreshError: tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: "r"}, Failures: 1}
	if err := one.Release(context.Background(), fence, failure, time.Minute); err != nil {
		t.Fatal(err)
	}
	lease := s.key(":lease")
	sealed := strings.TrimPrefix(s.do("GET", lease).(string), "failed:")
	put(t, one, newToken(fence))
	token := s.key(":token")
	sealedToken := s.do("HGET", token, "token").(string)

	for _, text := range []string{"failed:" + sealedToken, "failed:", "failed:x", "failed", "", "x", sealed} {
		s.do("SET", lease, text, "PX", 60_000)
		taken := take(t, other, tokensource.Known{FencingToken: fence}, time.Minute)
		if taken.Leased || taken.Failure != nil || taken.Wait <= 0 || taken.Wait > time.Minute {
			t.Errorf("%.10q: Acquire = %+v", text, taken)
		}
	}
	s.do("HSET", token, "token", sealed)
	if token := look(t, other, tokensource.Known{}); token != nil {
		t.Errorf("a failure is a token: %+v", token)
	}
}

// Keys of another type are somebody else's: the store is of no use, and says why.
func TestKeysOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for _, end := range []string{":token", ":lease"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := newBroker(t, s.url)
			place := b.place()
			fence := lead(t, place, tokensource.Known{}, time.Minute)
			put(t, place, newToken(fence))
			key := strings.TrimSuffix(s.key(":token"), ":token") + end
			s.do("DEL", key)
			s.do("RPUSH", key, "x")
			_, err := place.Acquire(context.Background(), tokensource.Known{FencingToken: fence}, time.Minute)
			if err == nil || !strings.Contains(err.Error(), "used by another program") {
				t.Errorf("%v", err)
			}
			if changes := b.changes.all(); len(changes) != 1 || changes[0] != err.Error() {
				t.Errorf("%q was told", changes)
			}
		})
	}
}
