package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

// No value that an attacker writes into the store is believed, and the next token that a broker stores replaces it.
func TestIgnoresForgedValues(t *testing.T) {
	t.Parallel()
	const later = 3_600_000 // milliseconds
	for name, forge := range map[string]func(s *server, token, lease string){
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
		"fence is infinite":       func(s *server, token, _ string) { s.do("HSET", token, "fence", "inf") },
		"fence is no number":      func(s *server, token, _ string) { s.do("HSET", token, "fence", "nan") },
		"fence is negative":       func(s *server, token, _ string) { s.do("HSET", token, "fence", "-5") },
		"fence is negative, huge": func(s *server, token, _ string) { s.do("HSET", token, "fence", "-1e300") },
		"fence is small":          func(s *server, token, _ string) { s.do("HSET", token, "fence", "0.4") },
		"fence is hexadecimal":    func(s *server, token, _ string) { s.do("HSET", token, "fence", "0x10") },
		"fence is a word":         func(s *server, token, _ string) { s.do("HSET", token, "fence", "soon") },
		"fence is long":           func(s *server, token, _ string) { s.do("HSET", token, "fence", strings.Repeat("1", 3<<20)) },
		"lease never ends":        func(s *server, _, lease string) { s.do("SET", lease, "x") },
		"lease lasts for years":   func(s *server, _, lease string) { s.do("SET", lease, "x", "PX", "9000000000000") },
		"lease is huge":           func(s *server, _, lease string) { s.do("SET", lease, strings.Repeat("x", 3<<20), "PX", later) },
	} {
		for _, end := range []string{"", ", without an end"} {
			t.Run(name+end, func(t *testing.T) {
				t.Parallel()
				s := start(t)
				one, other := twoEntries(t, s)
				first := lead(t, one, time.Minute)
				stored := newToken(first)
				put(t, one, stored)
				key := s.key(":token")
				forge(s, key, strings.TrimSuffix(key, ":token")+":lease")
				if end != "" {
					s.do("PERSIST", key)
				}

				shared := get(t, other)
				if shared.Lease.FencingToken != 0 {
					t.Errorf("got %+v, want no lease", shared.Lease)
				}
				if shared.Token.FencingToken != 0 && shared.Token.Remaining > 0 { // only the lease, or the expiry, was changed
					wantToken(t, shared.Token, stored)
				}
				next := lead(t, other, time.Minute)
				if next <= first {
					t.Errorf("got fencing token %d after %d, want a greater one", next, first)
				}
				token := newToken(next)
				put(t, other, token)
				wantToken(t, get(t, one).Token, token)
			})
		}
	}
}

// A record under another key is invalid, although a broker sealed it.
func TestRecordsAreBoundToTheirKey(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string]tokensource.Credentials{
		"another client": credentials("another", clientSecret),
		"a new secret":   credentials(clientID, "new"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := newBroker(t, s.url)
			mine, theirs := b.entry(), b.Entry(pair, endpoint, func() {})
			put(t, mine, newToken(lead(t, mine, time.Minute)))
			key := s.key(":token")
			s.do("RENAME", key, "mine")
			put(t, theirs, newToken(lead(t, theirs, time.Minute)))
			theirKey := s.key(":token")
			if theirKey == key {
				t.Fatal("both pairs have one key, want two")
			}
			s.do("RENAME", theirKey, key)

			if token := get(t, mine).Token; token.FencingToken != 0 {
				t.Errorf("got the token of another pair, %+v, want none", token)
			}
			put(t, mine, newToken(lead(t, mine, time.Minute)))
			if get(t, mine).Token.FencingToken == 0 {
				t.Error("got no token, want that of another pair to be replaced")
			}
		})
	}
}

// A token that was refused cannot be presented as a newer one.
func TestFencingTokenCannotBeRaised(t *testing.T) {
	t.Parallel()
	s := start(t)
	e := newBroker(t, s.url).entry()
	put(t, e, newToken(lead(t, e, time.Minute)))
	s.do("HINCRBY", s.key(":token"), "fence", 1)
	if token := get(t, e).Token; token.FencingToken != 0 {
		t.Errorf("got %+v, want no token", token)
	}
}

// A sealed token is no lease, a sealed lease is no token, and what a broker did not seal is neither. Acquire replaces it.
func TestIgnoresForgedLease(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, other := twoEntries(t, s)
	fence := lead(t, one, time.Minute)
	sealedLease := s.do("GET", s.key(":lease")).(string)
	lease := s.key(":lease")
	put(t, one, newToken(fence))
	token := s.key(":token")
	sealedToken := s.do("HGET", token, "token").(string)

	for _, value := range []string{sealedToken, "", "x", sealedLease[1:], sealedLease + "x"} {
		s.do("SET", lease, value, "PX", 60_000)
		lead(t, other, time.Minute)
		if err := other.Release(context.Background(), tokensource.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	s.do("HSET", token, "token", sealedLease)
	if token := get(t, other).Token; token.FencingToken != 0 {
		t.Errorf("got %+v, want no token", token)
	}
}

// Keys of another type belong to another program: the store is not used, and the message says why.
func TestKeysOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for _, end := range []string{":token", ":lease"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := newBroker(t, s.url)
			e := b.entry()
			put(t, e, newToken(lead(t, e, time.Minute)))
			key := strings.TrimSuffix(s.key(":token"), ":token") + end
			s.do("DEL", key)
			s.do("RPUSH", key, "x")
			_, err := e.Get(context.Background())
			if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("got %v, want the cause", err)
			}
			if problems := b.problems.all(); len(problems) != 1 || problems[0] != err.Error() {
				t.Errorf("got the problems %q, want %q once", problems, err)
			}
		})
	}
}
