package redisstore_test

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// TestMain lets more tests run at the same time than there are processors: most of the time they wait.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}

// What must never be seen outside of a broker.
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
	dir     string // short: the path of a socket has room for a hundred characters
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
	port := freePort(t)
	s.network, s.address = "tcp", net.JoinHostPort("127.0.0.1", port)
	s.url = "redis://" + s.address
	s.args = append([]string{"--bind", "127.0.0.1", "--port", port}, args...)
	s.run()
	return s
}

func prepare(t *testing.T) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("E2E_REDIS") == "required" {
			t.Fatal("there is no redis-server: ", err)
		}
		t.Skip("SKIPPED: there is no redis-server")
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

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func (s *server) run() {
	s.t.Helper()
	args := append([]string{"--save", "", "--appendonly", "no", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log")}, s.args...)
	s.process = exec.Command(s.program, args...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the server answers", func() bool {
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

// do has the server do something by another way than the store's.
func (s *server) do(args ...any) any {
	s.t.Helper()
	client := redis.NewClient(&redis.Options{Network: s.network, Addr: s.address, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	defer client.Close()
	answer, err := client.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// keys returns the names of all keys that end in something.
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

// broker is what one broker has of the store.
type broker struct {
	*redisstore.Store
	t       *testing.T
	changes *list
	end     func() // ends Run, and waits for it
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
	return append([]string(nil), l.texts...)
}

// connect returns a broker that does not listen.
func connect(t *testing.T, url string) *broker {
	t.Helper()
	options, err := redisstore.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, changes: &list{}}
	b.Store = redisstore.New(redisstore.Config{Options: options, Changed: b.changes.add})
	return b
}

// newBroker returns one that listens. The store need not be there.
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

// place opens the usual place.
func (b *broker) place() tokensource.Entry {
	return b.Entry(credentials(clientID, clientSecret), endpoint, func() {})
}

// twoPlaces returns the usual place as two brokers have it.
func twoPlaces(t *testing.T, s *server) (a, b tokensource.Entry) {
	t.Helper()
	return newBroker(t, s.url).place(), newBroker(t, s.url).place()
}

func take(t *testing.T, p tokensource.Entry, had tokensource.Known, lease time.Duration) tokensource.AcquireResult {
	t.Helper()
	taken, err := p.Acquire(context.Background(), had, lease)
	if err != nil {
		t.Fatal("Acquire: ", err)
	}
	return taken
}

// lead takes a lease that must be free.
func lead(t *testing.T, p tokensource.Entry, had tokensource.Known, lease time.Duration) uint64 {
	t.Helper()
	taken := take(t, p, had, lease)
	if !taken.Leased || taken.FencingToken == 0 || taken.Token != nil || taken.Failure != nil || taken.Wait != 0 {
		t.Fatalf("Acquire = %+v, want the lease", taken)
	}
	return taken.FencingToken
}

func look(t *testing.T, p tokensource.Entry, had tokensource.Known) *tokensource.SharedToken {
	t.Helper()
	token, err := p.Get(context.Background(), had)
	if err != nil {
		t.Fatal("Get: ", err)
	}
	return token
}

// newToken is one that is fetched now.
func newToken(fence uint64) tokensource.SharedToken {
	return tokensource.SharedToken{
		AccessToken:  tokensource.NewSecret(accessToken + "." + strconv.FormatUint(fence, 10)),
		FencingToken: fence, Issued: time.Now(), Lifetime: 5 * time.Minute,
	}
}

func put(t *testing.T, p tokensource.Entry, token tokensource.SharedToken) {
	t.Helper()
	if err := p.Put(context.Background(), token); err != nil {
		t.Fatal("Put: ", err)
	}
}

// same fails unless a token is the one that was put, or what remains of it makes no sense.
func same(t *testing.T, got *tokensource.SharedToken, want tokensource.SharedToken) {
	t.Helper()
	if got == nil {
		t.Fatal("there is no token")
	}
	if !got.AccessToken.Equal(want.AccessToken) || got.FencingToken != want.FencingToken || got.Lifetime != want.Lifetime ||
		!got.Issued.Equal(want.Issued.Truncate(time.Millisecond)) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.Remaining <= 0 || got.Remaining > want.Lifetime {
		t.Errorf("%v remain of %v", got.Remaining, want.Lifetime)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}
