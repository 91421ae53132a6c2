package redisstore_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
)

// rules are the least that a broker needs of a server, also of one in a Cluster: as they stand in the documentation.
const rules = "~etrusted-broker:* &etrusted-broker:* +evalsha +eval +time +hget +hset +pttl +pexpireat +getrange +set +del +publish +subscribe"

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
	var notified atomic.Int32
	e := b.Entry(credentials(clientID, clientSecret), endpoint, func() { notified.Add(1) })
	ctx := context.Background()
	defer e.Close()
	if _, err := e.Get(ctx); err != nil {
		return err
	}
	if _, err := e.Acquire(ctx, tokensource.Lease{Remaining: time.Minute}); err != nil {
		return err
	}
	if err := e.Release(ctx, tokensource.Lease{FencingToken: 1, Remaining: time.Minute}); err != nil {
		return err
	}
	if err := e.Release(ctx, tokensource.Lease{}); err != nil {
		return err
	}
	token := newToken(lead(t, e, time.Minute))
	if err := e.Put(ctx, token); err != nil {
		return err
	}
	wantToken(t, get(t, e).Token, token)
	brokertest.Eventually(t, "it is notified", func() bool { return notified.Load() > 0 })
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
		if rule == "+subscribe" {
			continue // see TestSharesWithoutRightToListen
		}
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.allow(strings.Join(slices.Delete(slices.Clone(all), i, i+1), " "))
			if rule == "+eval" {
				s.do("ACL", "SETUSER", "broker", "-script")
			}
			err := everything(t, s.withUser("broker", "pass word/@:%"))
			if err == nil || err.Error() != "does not give this user the necessary rights: see the access rules in docs/store.md" {
				t.Errorf("without %s: %v", rule, err)
			}
		})
	}
}

func TestSharesWithoutRightToListen(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.allow(strings.ReplaceAll(rules, "+subscribe", ""))
	one, other := newBroker(t, s.withUser("broker", "pass word/@:%")), newBroker(t, s.withUser("broker", "pass word/@:%"))
	leader := one.entry()
	token := newToken(lead(t, leader, time.Minute))
	put(t, leader, token)
	wantToken(t, get(t, other.entry()).Token, token)
	if problems := append(one.problems.all(), other.problems.all()...); len(problems) > 0 {
		t.Errorf("got the problems %q, want none", problems)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s := startTCP(t, "--requirepass", "right")
	for name, test := range map[string]struct{ url, want string }{
		"right":   {s.withUser("", "right"), ""},
		"default": {s.withUser("default", "right"), ""},
		"none":    {s.url, "requires a password: write redis://USER:PASSWORD@HOST:PORT"},
		"wrong":   {s.withUser("", clientSecret), "does not accept the password: check user and password in the URL"},
		"no user": {s.withUser("nobody", "right"), "does not accept the password: check user and password in the URL"},
		"no pass": {strings.Replace(s.url, "//", "//right@", 1), "requires a password: write redis://USER:PASSWORD@HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t, test.url)
			_, err := b.entry().Get(context.Background())
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			if problems := b.problems.all(); len(problems) != 1 || problems[0] != test.want {
				t.Errorf("got the problems %q, want %q once", problems, test.want)
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
		"full":    {args: []string{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}, want: "refuses the request with the error OOM"},
		"replica": {args: []string{"--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes"}, want: "is a read-only replica: use the address of the primary, or Sentinel (master_name)"},
		"stale":   {args: []string{"--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no"}, want: "refuses the request with the error MASTERDOWN"},
		"renamed": {args: []string{"--rename-command", "EVALSHA", ""}, want: "refuses the request: it must be Redis 6.2 or newer, or Valkey, and allow scripts"},
		"cluster": {args: []string{"--cluster-enabled", "yes"}, want: "refuses the request with the error CLUSTERDOWN"},
		"lonely":  {args: []string{"--min-replicas-to-write", "1"}, want: "refuses the request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, test.args...)
			e := newBroker(t, s.url).entry()
			_, err := e.Get(context.Background())
			if err == nil {
				_, err = e.Acquire(context.Background(), tokensource.Lease{Remaining: time.Minute})
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
