package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is for what takes milliseconds, on a machine that is busy with something else.
const patience = 15 * time.Second

func afterPatience() <-chan time.Time { return time.After(patience) }

var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.DiscardHandler)) // where the OP tells of each refusal
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if binary = os.Getenv("BROKER_BINARY"); binary != "" {
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "broker-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary = filepath.Join(folder, "broker")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/broker")
	build.Dir = ".." // that module, with its own dependencies
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// world is what a broker lives in: an OP and an API, which trust each other and nobody else.
type world struct {
	authority *authority
	login     *login
	api       *api
	secrets   []string // all that ever were, to be looked for where they must not be
}

func newWorld(t *testing.T, lifetime time.Duration) *world {
	t.Helper()
	w := &world{authority: newAuthority(t)}
	w.login = startLogin(t, w.authority, w.newSecret(), lifetime)
	w.api = startAPI(t, w.authority, w.login)
	return w
}

func (w *world) newSecret() string {
	secret := "s3cret-" + rand.Text()
	w.secrets = append(w.secrets, secret)
	return secret
}

// broker is a broker in a process of its own.
type broker struct {
	t          *testing.T
	world      *world
	command    *exec.Cmd
	app, admin string // URLs
	log        *syncBuffer
	ended      chan struct{}
	client     *http.Client
}

// start runs a broker until the test's end. It is then asked to end by SIGTERM and must do so with exit code 0, and must
// not have logged a secret or a token. environ is added to what leads it to the OP and the API.
func (w *world) start(t *testing.T, environ ...string) *broker {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	b := &broker{
		t: t, world: w, command: exec.Command(binary, "serve"), log: &syncBuffer{}, ended: make(chan struct{}),
		client: &http.Client{Transport: transport, Timeout: patience},
	}
	b.command.Env = append([]string{
		"SSL_CERT_FILE=" + w.authority.file,
		"SSL_CERT_DIR=" + t.TempDir(), // empty: nobody else is trusted
		"ETRUSTED_API_URL=" + w.api.url,
		"ETRUSTED_TOKEN_URL=" + w.login.tokenURL(),
		"ETRUSTED_AUDIENCE=" + w.api.url,
		"BROKER_LISTEN=127.0.0.1:0",
		"BROKER_ADMIN_LISTEN=127.0.0.1:0",
		"BROKER_LOG_LEVEL=debug", // the more is logged, the more could slip through
		"BROKER_LOG_FORMAT=json",
	}, environ...)
	b.command.Stdout, b.command.Stderr = b.log, b.log
	if err := b.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.command.Wait() // ProcessState tells
		close(b.ended)
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		b.stop()
	})
	eventually(t, patience, "the broker listens", b.findAddresses)
	return b
}

// findAddresses reads off the log where the system's choice of ports has fallen.
func (b *broker) findAddresses() bool {
	select {
	case <-b.ended:
		b.t.Fatalf("the broker ended: %v", b.command.ProcessState)
	default:
	}
	for line := range strings.Lines(b.log.String()) {
		var entry struct{ Msg, App, Admin string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			b.app, b.admin = "http://"+entry.App, "http://"+entry.Admin
			return true
		}
	}
	return false
}

func (b *broker) stop() {
	_ = b.command.Process.Signal(syscall.SIGTERM) // if it has ended, its exit code tells
	select {
	case <-b.ended:
		if code := b.command.ProcessState.ExitCode(); code != 0 {
			b.t.Errorf("after SIGTERM: %v, want exit code 0", b.command.ProcessState)
		}
	case <-afterPatience():
		_ = b.command.Process.Kill()
		<-b.ended
		b.t.Errorf("the broker did not end within %v of SIGTERM", patience)
	}
	b.holdsNoSecret("the log", b.log.String())
	if b.t.Failed() {
		b.t.Logf("the broker's log, without the requests that went well:\n%s", b.notableLog())
	}
}

func (b *broker) notableLog() string {
	var notable strings.Builder
	for line := range strings.Lines(b.log.String()) {
		if !containsAll(line, []string{`"level":"debug"`, `"status":200`}) {
			notable.WriteString(line)
		}
	}
	return notable.String()
}

// holdsNoSecret fails the test if a secret or a token is in the text.
func (b *broker) holdsNoSecret(what, text string) {
	b.t.Helper()
	for _, secret := range b.world.secrets {
		if strings.Contains(text, secret) {
			b.t.Errorf("%s holds a client secret", what)
		}
	}
	for _, token := range b.world.api.tokens() {
		if token != "" && strings.Contains(text, signature(token)) {
			b.t.Errorf("%s holds an access token", what)
		}
	}
}

// wait is what a start script does: broker wait.
func (b *broker) wait() {
	b.t.Helper()
	command := exec.Command(binary, "wait", "-timeout", patience.String())
	command.Env = []string{"BROKER_ADMIN_LISTEN=" + strings.TrimPrefix(b.admin, "http://")}
	if output, err := command.CombinedOutput(); err != nil {
		b.t.Fatalf("broker wait: %v\n%s", err, output)
	}
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request as an app does that knows nothing of OAuth.
func (b *broker) send(method, url string, body []byte) (answer, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func (b *broker) get(url string) answer {
	b.t.Helper()
	got, err := b.send(http.MethodGet, url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// metric returns the sum of a metric's series that bear all the labels, each written as name="value".
func (b *broker) metric(name string, labels ...string) float64 {
	b.t.Helper()
	sum := 0.0
	for line := range strings.Lines(b.get(b.admin + "/metrics").body) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if family, _, _ := strings.Cut(series, "{"); family != "etrusted_broker_"+name || !containsAll(series, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			b.t.Fatalf("/metrics: %q: %v", line, err)
		}
		sum += number
	}
	return sum
}

// wantMetric fails the test unless the metric is want.
func (b *broker) wantMetric(want float64, name string, labels ...string) {
	b.t.Helper()
	if got := b.metric(name, labels...); got != want {
		b.t.Errorf("%s%s is %v, want %v", name, labels, got, want)
	}
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// eventually polls.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// syncBuffer may be read while the process writes.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
