package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// redisServer is a Redis server that the brokers use as token store. To kill its process is like a crash: its data is lost.
type redisServer struct {
	t       *testing.T
	addr    string
	process *brokertest.Process // nil before start
}

// newRedisServer returns a server that is not running yet. If redis-server is not installed, it skips the test, or fails it if
// E2E_REDIS=required.
func newRedisServer(t *testing.T) *redisServer {
	t.Helper()
	need(t, "redis-server", "E2E_REDIS", "that brokers share a token is")
	return &redisServer{t: t, addr: brokertest.ClosedPort(t)} // another process could take the port before Redis does
}

func (s *redisServer) url() string { return "redis://" + s.addr }

func (s *redisServer) start() {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.addr)
	cmd := exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no")
	s.process = brokertest.StartProcess(s.t, cmd, nil)
	brokertest.Eventually(s.t, "Redis accepts connections", func() bool {
		connection, err := net.Dial("tcp", s.addr)
		if err != nil {
			return false
		}
		_ = connection.Close()
		return true
	})
}

// TestFleetSharesOneToken: 50 brokers with a store make as many token requests as one broker. Then the store crashes and
// comes back, and no request fails. The test is not parallel, because it runs 50 processes.
func TestFleetSharesOneToken(t *testing.T) {
	const brokers, lifetime, watched = 50, 5 * time.Second, 20 * time.Second
	s := newRedisServer(t)
	s.start()
	servers := startTestServers(t, lifetime)
	began := time.Now()
	fleet := servers.startFleet(t, brokers, s)
	// The brokers start one after the other. On a slow machine that takes several token lifetimes.
	limit := 2 + int(time.Since(began)/(lifetime*8/10))
	if n := len(servers.login.tokenRequests()); n > limit {
		t.Errorf("%d brokers made %d token requests during the start, want at most %d", brokers, n, limit)
	}
	loads := startLoads(t, fleet)
	requests := servers.countTokenRequests(func() { time.Sleep(watched) })
	t.Logf("with the store: %d token requests in %v", requests, watched)
	if limit := 1.5 * watched.Seconds() / lifetime.Seconds(); float64(requests) > limit {
		t.Errorf("%d brokers made %d token requests in %v, want at most %v", brokers, requests, watched, limit)
	}
	leaders, hits := 0.0, 0.0
	for _, b := range fleet {
		leaders += b.metric("token_store_lease_held")
		hits += b.metric("token_store_hits_total")
		b.wantMetric(0, "token_store_errors_total")
	}
	if leaders > 1 { // 0 while a token is being fetched
		t.Errorf("%v brokers hold the lease, want at most 1", leaders)
	}
	if minimum := float64(brokers-1) * watched.Seconds() / lifetime.Seconds(); hits < minimum {
		t.Errorf("%v tokens came from the store, want at least %v", hits, minimum)
	}

	requests = servers.countTokenRequests(func() {
		s.process.Kill()
		time.Sleep(2 * lifetime)
	})
	t.Logf("without the store: %d token requests in %v", requests, 2*lifetime)
	if requests < brokers {
		t.Errorf("got %d token requests without the store, want at least one per broker (%d)", requests, brokers)
	}
	s.start()
	// After an outage a broker uses the store again within 30 s, and usually much sooner: it tries when a refresh is due.
	for began := time.Now(); servers.countTokenRequests(func() { time.Sleep(lifetime) }) > 3; {
		if time.Since(began) > 2*time.Minute {
			t.Fatal("the token is not shared again two minutes after the store's return")
		}
	}
	for _, load := range loads {
		load.stopAndCheck(t, 20)
	}
	servers.api.wantNoneRejected(t)
}

// startFleet starts n brokers that share a token, and waits until each has it.
func (s *testServers) startFleet(t *testing.T, n int, redis *redisServer, environ ...string) []*broker {
	t.Helper()
	fleet := make([]*broker, n)
	for i := range fleet {
		fleet[i] = s.startBroker(t, append(environ, "BROKER_TOKEN_STORE="+redis.url())...)
	}
	for _, b := range fleet {
		b.waitForToken()
	}
	return fleet
}

// startLoads starts a load of four requests per second on each broker.
func startLoads(t *testing.T, fleet []*broker) []*loadGenerator {
	t.Helper()
	var loads []*loadGenerator
	for _, b := range fleet {
		loads = append(loads, b.startLoadWith(t, 1, 250*time.Millisecond))
	}
	return loads
}

// countTokenRequests returns how many token requests are answered while action runs.
func (s *testServers) countTokenRequests(action func()) int {
	before := len(s.login.tokenRequests())
	action()
	return len(s.login.tokenRequests()) - before
}

// TestFleetReplacesRevokedTokenOnce: when a shared token is revoked, one token request replaces it for all brokers, and no app
// notices.
func TestFleetReplacesRevokedTokenOnce(t *testing.T) {
	t.Parallel()
	s := newRedisServer(t)
	s.start()
	servers := startTestServers(t, 2*time.Minute)
	fleet := servers.startFleet(t, 5, s)
	sleepUntilOld(time.Now())
	for _, b := range fleet {
		b.get(b.appURL + "/channels")
	}
	revoked := servers.api.onlyToken(t)
	servers.login.revoke(t, servers.ca.client(t), revoked)
	requests := servers.countTokenRequests(func() {
		var apps sync.WaitGroup
		for _, b := range fleet {
			apps.Go(func() {
				for range 5 {
					if got := b.send("GET", b.appURL+"/channels", nil); got.Err != nil || got.Status != 200 {
						t.Errorf("the app got %v (%v), want 200", got.Status, got.Err)
					}
				}
			})
		}
		apps.Wait()
	})
	if requests != 1 {
		t.Errorf("got %d token requests after the revocation, want 1", requests)
	}
	if n := len(servers.api.tokens()); n != 2 {
		t.Errorf("the API received %d different tokens, want 2: the revoked one and its replacement", n)
	}
}

// TestFleetSurvivesKilledLeader: the broker that fetches the token for all is killed while it does. Another one takes over before
// the token expires, and no app notices.
func TestFleetSurvivesKilledLeader(t *testing.T) {
	t.Parallel()
	s := newRedisServer(t)
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("redis-cli is not installed")
	}
	s.start()
	servers := startTestServers(t, 30*time.Second)
	gate := newLoginGate(t, servers)
	fleet := servers.startFleet(t, 5, s, "ETRUSTED_TOKEN_URL="+gate.url)
	leader := slices.IndexFunc(fleet, func(b *broker) bool { return b.metric("token_store_lease_held") == 1 })
	if leader < 0 {
		t.Fatal("no broker has fetched the token for all, want one")
	}
	others := slices.Delete(slices.Clone(fleet), leader, leader+1)
	loads := startLoads(t, others)
	release := gate.hold()
	defer release()
	within(t, 30*time.Second, "the leader fetches the next token", func() bool { return s.cli(t, "KEYS", "*:lease") != "\n" })
	fleet[leader].Kill()
	release()
	within(t, 15*time.Second, "a successor has fetched a token", func() bool {
		return slices.ContainsFunc(others, func(b *broker) bool { return b.metric("token_store_lease_held") == 1 })
	})
	time.Sleep(8 * time.Second) // until the old token has expired
	for _, load := range loads {
		load.stopAndCheck(t, 20)
	}
	servers.api.wantNoneRejected(t)
}

// TestStoreHoldsNoSecret: the content of the store reveals neither tokens nor credentials.
func TestStoreHoldsNoSecret(t *testing.T) {
	t.Parallel()
	s := newRedisServer(t)
	s.start()
	servers := startTestServers(t, time.Minute)
	b := servers.startFleet(t, 1, s)[0]
	b.get(b.appURL + "/channels")
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("redis-cli is not installed")
	}
	var all strings.Builder
	for _, command := range []string{"KEYS *", "PUBSUB CHANNELS *", "CLIENT LIST", "SLOWLOG GET 100"} {
		all.WriteString(s.cli(t, strings.Fields(command)...))
	}
	keys := strings.Fields(s.cli(t, "KEYS", "*"))
	if len(keys) == 0 {
		t.Fatal("the store has no keys, want at least one")
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "etrusted-broker:") {
			t.Errorf("key %q: want the prefix etrusted-broker:, which users name in access rules", key)
		}
		all.WriteString(s.cli(t, "HGETALL", key))
		all.WriteString(s.cli(t, "DUMP", key))
	}
	b.wantNoSecret("the store", all.String())
	if strings.Contains(all.String(), clientID) {
		t.Error("the store contains the Client ID")
	}
}

func (s *redisServer) cli(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := exec.Command("redis-cli", append([]string{"-u", s.url()}, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("redis-cli %v: %w", arguments, err))
	}
	return string(output)
}
