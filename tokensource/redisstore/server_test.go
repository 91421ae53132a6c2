package redisstore_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

func TestMain(m *testing.M) { os.Exit(brokertest.Main(m)) }

// What must never leave a broker.
const (
	clientID     = "canary-client-id-5d1f"
	clientSecret = "canary-client-secret-93be"
	accessToken  = "canary.access-token.c07a"
)

// server is a real redis-server that belongs to one test.
type server struct {
	t       *testing.T
	program string
	args    []string
	dir     string // short: the path of a socket may have a hundred characters
	network string
	address string
	url     string
	process *exec.Cmd
}

// start starts a server on a unix socket.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	s := prepare(t)
	s.network, s.address = "unix", filepath.Join(s.dir, "s")
	s.url = "unix://" + s.address
	s.args = append([]string{"--port", "0", "--unixsocket", s.address}, args...)
	s.run()
	return s
}

// startTCP starts a server on a port of this machine.
func startTCP(t *testing.T, args ...string) *server {
	t.Helper()
	s := prepare(t)
	s.network, s.address = "tcp", brokertest.ClosedPort(t)
	s.url = "redis://" + s.address
	s.args = append([]string{"--bind", "127.0.0.1", "--port", portOf(s.address)}, args...)
	s.run()
	return s
}

// portOf returns the port of HOST:PORT.
func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

func prepare(t *testing.T) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("E2E_REDIS") == "required" {
			t.Fatal("redis-server is not installed: ", err)
		}
		t.Skip("SKIPPED: redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, program: program, dir: dir}
	t.Cleanup(func() {
		s.kill()
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *server) run() {
	s.t.Helper()
	args := append([]string{"--save", "", "--appendonly", "no", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log")}, s.args...)
	s.process = exec.Command(s.program, args...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	brokertest.Eventually(s.t, "the server answers", func() bool {
		conn, err := net.Dial(s.network, s.address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

// do sends a command to the server directly.
func (s *server) do(args ...any) any {
	s.t.Helper()
	conn, err := redis.Dial(s.network, s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	answer, err := conn.Do(args[0].(string), args[1:]...)
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return withStrings(answer)
}

// withStrings returns a reply with strings in place of bytes, also in lists.
func withStrings(reply any) any {
	switch reply := reply.(type) {
	case []byte:
		return string(reply)
	case []any:
		for i := range reply {
			reply[i] = withStrings(reply[i])
		}
	}
	return reply
}

// keys returns the names of all keys with this end.
func (s *server) keys(end string) []string {
	s.t.Helper()
	var keys []string
	for _, key := range s.do("KEYS", "*"+end).([]any) {
		keys = append(keys, key.(string))
	}
	return keys
}

func (s *server) key(end string) string {
	s.t.Helper()
	keys := s.keys(end)
	if len(keys) != 1 {
		s.t.Fatalf("%d keys that end in %s: %q", len(keys), end, keys)
	}
	return keys[0]
}

// broker is a store as one broker has it.
type broker struct {
	*redisstore.Store
	t        *testing.T
	problems *list  // that OnStateChange got
	end      func() // ends Run, and waits for it
}

// list collects texts from many goroutines.
type list struct {
	mu    sync.Mutex
	texts []string
}

func (l *list) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, text)
}

func (l *list) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.texts)
}

// connect returns a broker that does not listen.
func connect(t *testing.T, url string) *broker {
	t.Helper()
	options, err := redisstore.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, problems: &list{}}
	b.Store = redisstore.New(options, b.problems.add)
	return b
}

// newBroker returns one that listens. The server need not run.
func newBroker(t *testing.T, url string) *broker {
	t.Helper()
	b := connect(t, url)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	b.end = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(b.end)
	return b
}

func credentials(id, secret string) tokensource.Credentials {
	return tokensource.Credentials{ID: tokensource.NewSecret(id), Secret: tokensource.NewSecret(secret)}
}

var endpoint = tokensource.TokenEndpoint{URL: "https://login.example/oauth/token", Audience: "https://api.example"}

// entry opens the entry of the usual pair.
func (b *broker) entry() tokensource.Entry {
	return b.Entry(credentials(clientID, clientSecret), endpoint, func() {})
}

// twoEntries returns the entry of the usual pair as two brokers have it.
func twoEntries(t *testing.T, s *server) (a, b tokensource.Entry) {
	t.Helper()
	return newBroker(t, s.url).entry(), newBroker(t, s.url).entry()
}

func get(t *testing.T, e tokensource.Entry) tokensource.SharedState {
	t.Helper()
	shared, err := e.Get(context.Background())
	if err != nil {
		t.Fatal("Get: ", err)
	}
	return shared
}

// lead acquires the lease, which must be free.
func lead(t *testing.T, e tokensource.Entry, ttl time.Duration) (fence int64) {
	t.Helper()
	shared := get(t, e)
	if shared.Lease.FencingToken != 0 {
		t.Fatalf("got %+v, want no lease", shared.Lease)
	}
	acquired, err := e.Acquire(context.Background(), tokensource.Lease{FencingToken: shared.FencingToken, Failures: 2, Remaining: ttl})
	if err != nil || !acquired || shared.FencingToken == 0 {
		t.Fatalf("got acquired %t with fencing token %d and %v, want the lease", acquired, shared.FencingToken, err)
	}
	return shared.FencingToken
}

// newToken is one that is fetched now.
func newToken(fence int64) tokensource.SharedToken {
	return tokensource.SharedToken{
		AccessToken:  tokensource.NewSecret(accessToken + "." + strconv.FormatInt(fence, 10)),
		FencingToken: fence, Issued: time.Now(), Lifetime: 5 * time.Minute, NotBefore: time.Second,
	}
}

func put(t *testing.T, e tokensource.Entry, token tokensource.SharedToken) {
	t.Helper()
	if err := e.Put(context.Background(), token); err != nil {
		t.Fatal("Put: ", err)
	}
}

// wantToken fails unless a token is the one that was put, with a valid remaining lifetime.
func wantToken(t *testing.T, got, want tokensource.SharedToken) {
	t.Helper()
	if !got.AccessToken.Equal(want.AccessToken) || got.FencingToken != want.FencingToken || got.Lifetime != want.Lifetime || got.NotBefore != want.NotBefore || !got.Issued.Equal(want.Issued) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.Remaining <= 0 || got.Remaining > want.Lifetime {
		t.Errorf("got %v remaining of %v", got.Remaining, want.Lifetime)
	}
}
