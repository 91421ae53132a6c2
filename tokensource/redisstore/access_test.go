package redisstore_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/tokensource"
)

// rules are the least that a broker needs of one server: as they stand in the documentation.
const rules = "~etrusted-broker:* &etrusted-broker:* +evalsha +eval +time +hmget +hget +hset +pttl +pexpireat +get +set +del +publish +subscribe +unsubscribe +ping"

// withUser returns the address of a server with a user and password.
func (s *server) withUser(name, password string) string {
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	u.User = url.UserPassword(name, password)
	return u.String()
}

func (s *server) allow(rules string) {
	args := []any{"ACL", "SETUSER", "broker", "reset", "on", ">pass word/@:%"}
	for rule := range strings.FieldsSeq(rules) {
		args = append(args, rule)
	}
	s.do(args...)
}

// everything does all that a broker does.
func everything(t *testing.T, address string) error {
	t.Helper()
	b := newBroker(t, address)
	defer b.end()
	var told atomic.Int32
	place := b.Entry(credentials(clientID, clientSecret), endpoint, func() { told.Add(1) })
	ctx := context.Background()
	taken, err := place.Acquire(ctx, tokensource.Known{}, time.Minute)
	if err != nil {
		return err
	}
	failure := &tokensource.SharedFailure{RefreshError: tokensource.RefreshError{Outcome: tokensource.OutcomeUnavailable}}
	if err := place.Release(ctx, taken.FencingToken, failure, time.Millisecond); err != nil {
		return err
	}
	eventually(t, "the pause comes to its end", func() bool {
		taken, err = place.Acquire(ctx, tokensource.Known{}, time.Minute)
		return err != nil || taken.Leased
	})
	if err != nil {
		return err
	}
	if err := place.Release(ctx, taken.FencingToken, nil, 0); err != nil {
		return err
	}
	if taken, err = place.Acquire(ctx, tokensource.Known{}, time.Minute); err != nil {
		return err
	}
	if err := place.Put(ctx, newToken(taken.FencingToken)); err != nil {
		return err
	}
	if token, err := place.Get(ctx, tokensource.Known{}); err != nil || token == nil {
		t.Errorf("Get: %+v %v", token, err)
	}
	eventually(t, "it is told", func() bool { return told.Load() > 0 })
	place.Close()
	return nil
}

func TestAccessRules(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.allow(rules)
	if err := everything(t, s.withUser("broker", "pass word/@:%")); err != nil {
		t.Errorf("%v: %v", err, s.do("ACL", "LOG"))
	}
	if log := s.do("ACL", "LOG").([]any); len(log) > 0 {
		t.Errorf("what was refused: %v", log)
	}
}

// One rule fewer, and the store says so.
func TestAccessRulesAreTheLeast(t *testing.T) {
	t.Parallel()
	all := strings.Fields(rules)
	for i, rule := range all {
		switch rule {
		case "+subscribe", "+unsubscribe", "+ping":
			continue // without them brokers are not told: see TestNotAllowedToListen
		}
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.allow(strings.Join(slices.Delete(slices.Clone(all), i, i+1), " "))
			if rule == "+eval" {
				s.do("ACL", "SETUSER", "broker", "-script")
			}
			err := everything(t, s.withUser("broker", "pass word/@:%"))
			if err == nil || err.Error() != "does not let this user do what is needed: see the access rules in the documentation" {
				t.Errorf("without %s: %v", rule, err)
			}
		})
	}
}

// Who may not listen can share all the same.
func TestNotAllowedToListen(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.allow(strings.NewReplacer("+subscribe", "", "+ping", "", "+unsubscribe", "").Replace(rules))
	one, other := newBroker(t, s.withUser("broker", "pass word/@:%")).place(), newBroker(t, s.withUser("broker", "pass word/@:%")).place()
	token := newToken(lead(t, one, tokensource.Known{}, time.Minute))
	put(t, one, token)
	same(t, look(t, other, tokensource.Known{}), token)
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s := startTCP(t, "--requirepass", "right")
	for name, test := range map[string]struct{ url, want string }{
		"right":   {s.withUser("", "right"), ""},
		"default": {s.withUser("default", "right"), ""},
		"none":    {s.url, "wants a password: write redis://USER:PASSWORD@HOST:PORT"},
		"wrong":   {s.withUser("", clientSecret), "does not take the password: check user and password in the URL"},
		"no user": {s.withUser("nobody", "right"), "does not take the password: check user and password in the URL"},
		"no pass": {strings.Replace(s.url, "//", "//right@", 1), "wants a password: write redis://USER:PASSWORD@HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t, test.url)
			_, err := b.place().Get(context.Background(), tokensource.Known{})
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			if changes := b.changes.all(); len(changes) != 1 || changes[0] != test.want {
				t.Errorf("%q was told", changes)
			}
		})
	}
}

// A server that does not do what is asked says why in a word, which is put into words of ours.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		do   []any
		want string
	}{
		"full":    {args: []string{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}, want: "has no memory left"},
		"replica": {args: []string{"--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes"}, want: "is a replica, which takes no writes: name the primary, or use Sentinel (master_name)"},
		"stale":   {args: []string{"--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no"}, want: "is a replica whose primary is away"},
		"renamed": {args: []string{"--rename-command", "EVALSHA", ""}, want: "refuses what is asked of it: it must be Redis 6.2 or newer, or Valkey, and allow scripts"},
		"cluster": {args: []string{"--cluster-enabled", "yes"}, want: "is a Cluster that is not complete"},
		"lonely":  {args: []string{"--min-replicas-to-write", "1"}, want: "refuses what is asked of it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, test.args...)
			_, err := newBroker(t, s.url).place().Acquire(context.Background(), tokensource.Known{}, time.Minute)
			if err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
