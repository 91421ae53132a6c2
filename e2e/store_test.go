package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// store is a Redis server.
type store struct {
	t       *testing.T
	port    string
	process *exec.Cmd
}

// newStore returns a store that is not running. Without a redis-server the test is skipped, or fails where it is required.
func newStore(t *testing.T) *store {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("E2E_REDIS") == "required" {
			t.Fatal(err)
		}
		t.Skip("there is no redis-server")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close() // a moment before somebody else takes it
	s := &store{t: t, port: port}
	t.Cleanup(s.kill)
	return s
}

func (s *store) url() string { return "redis://127.0.0.1:" + s.port }

func (s *store) start() {
	s.t.Helper()
	s.process = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", s.port, "--save", "", "--appendonly", "no", "--daemonize", "no")
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, patience, "the store answers", func() bool {
		connection, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil {
			return false
		}
		_ = connection.Close()
		return true
	})
}

// kill ends the store as a crash does: all that was in it is lost.
func (s *store) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

// TestFleet holds what a shared token is for: 50 brokers, whose tokens live five seconds, ask the login server as one
// would. The store then dies in the middle of it, and comes back: no request fails. (It has the machine to itself: 50
// brokers are as many processes.)
func TestFleet(t *testing.T) {
	const brokers, lifetime, watched = 50, 5 * time.Second, 20 * time.Second
	s := newStore(t)
	s.start()
	w := newWorld(t, lifetime)
	began := time.Now()
	fleet := w.startFleet(t, brokers, s)
	// They were started one after the other, over some lifetimes on a slow machine.
	most := 2 + int(time.Since(began)/(lifetime*8/10))
	if n := len(w.login.tokenRequests()); n > most {
		t.Errorf("%d token requests for the start of %d brokers, want at most %d", n, brokers, most)
	}
	loads := startLoads(t, fleet)
	requests := w.requestsWhile(func() { time.Sleep(watched) })
	t.Logf("with the store: %d token requests in %v", requests, watched)
	if most := 1.5 * watched.Seconds() / lifetime.Seconds(); float64(requests) > most {
		t.Errorf("%d brokers made %d token requests in %v, want at most %v", brokers, requests, watched, most)
	}
	leaders, hits := 0.0, 0.0
	for _, b := range fleet {
		leaders += b.metric("token_store_lease_held")
		hits += b.metric("token_store_hits_total")
		b.wantMetric(0, "token_store_errors_total")
	}
	if leaders > 1 { // none for as long as a token takes to be fetched
		t.Errorf("%v brokers lead", leaders)
	}
	if least := float64(brokers-1) * watched.Seconds() / lifetime.Seconds(); hits < least {
		t.Errorf("%v tokens were taken from the store, want at least %v", hits, least)
	}

	requests = w.requestsWhile(func() {
		s.kill()
		time.Sleep(2 * lifetime)
	})
	t.Logf("without it: %d token requests in %v", requests, 2*lifetime)
	if requests < brokers {
		t.Errorf("%d token requests without a store, want one of each broker at least: or it was still there", requests)
	}
	s.start()
	// A store that was away is asked again within 30 s, and mostly much sooner: a broker looks for it when its token is due.
	time.Sleep(2 * lifetime)
	eventually(t, 2*time.Minute, "the token is shared again", func() bool {
		return w.requestsWhile(func() { time.Sleep(lifetime) }) <= 3
	})
	for _, load := range loads {
		load.end(t, 20)
	}
	if refused := w.api.refused(); len(refused) > 0 {
		t.Errorf("the API refused %d requests, the first for: %s", len(refused), refused[0].reason)
	}
}

// startFleet starts brokers that share a token.
func (w *world) startFleet(t *testing.T, n int, s *store) []*broker {
	t.Helper()
	fleet := make([]*broker, n)
	for i := range fleet {
		fleet[i] = w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret(), "BROKER_TOKEN_STORE="+s.url())
	}
	for _, b := range fleet {
		b.wait()
	}
	return fleet
}

// startLoads gives each broker an app.
func startLoads(t *testing.T, fleet []*broker) []*load {
	t.Helper()
	var loads []*load
	for _, b := range fleet {
		loads = append(loads, b.startLoadOf(t, 1, 250*time.Millisecond))
	}
	return loads
}

func (w *world) requestsWhile(happens func()) int {
	before := len(w.login.tokenRequests())
	happens()
	return len(w.login.tokenRequests()) - before
}

// TestSharedRevocation holds that a token which is revoked is replaced once for all, and that no app sees it.
func TestSharedRevocation(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.start()
	w := newWorld(t, 2*time.Minute)
	fleet := w.startFleet(t, 5, s)
	time.Sleep(11 * time.Second) // a younger token is not given up: see the design
	for _, b := range fleet {
		b.get(b.app + "/channels")
	}
	revoked := w.api.onlyToken(t)
	w.login.revoke(t, w.authority.client(t), revoked)
	requests := w.requestsWhile(func() {
		var apps sync.WaitGroup
		for _, b := range fleet {
			apps.Go(func() {
				for range 5 {
					if got, err := b.send("GET", b.app+"/channels", nil); err != nil || got.status != 200 {
						t.Errorf("%v, %v; want 200", got.status, err)
					}
				}
			})
		}
		apps.Wait()
	})
	if requests != 1 {
		t.Errorf("%d token requests after one token was revoked, want 1", requests)
	}
	if n := len(w.api.tokens()); n != 2 {
		t.Errorf("the API saw %d tokens, want the revoked one and the one that took its place", n)
	}
}

// TestStoreHoldsNoSecret holds that whoever reads the store learns nothing.
func TestStoreHoldsNoSecret(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.start()
	w := newWorld(t, time.Minute)
	b := w.startFleet(t, 1, s)[0]
	b.get(b.app + "/channels")
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("there is no redis-cli")
	}
	var all strings.Builder
	for _, command := range []string{"KEYS *", "PUBSUB CHANNELS *", "CLIENT LIST", "SLOWLOG GET 100"} {
		all.WriteString(s.ask(t, strings.Fields(command)...))
	}
	keys := strings.Fields(s.ask(t, "KEYS", "*"))
	if len(keys) == 0 {
		t.Fatal("there is nothing in the store")
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "etrusted-broker:") {
			t.Errorf("the key %q has not the prefix that access rules name", key)
		}
		all.WriteString(s.ask(t, "HGETALL", key))
		all.WriteString(s.ask(t, "DUMP", key))
	}
	b.holdsNoSecret("the store", all.String())
	if strings.Contains(all.String(), clientID) {
		t.Error("the store holds the client id")
	}
}

func (s *store) ask(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := exec.Command("redis-cli", append([]string{"-p", s.port}, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("redis-cli %v: %w", arguments, err))
	}
	return string(output)
}
