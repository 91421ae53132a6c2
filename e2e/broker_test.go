package e2e

import (
	"bytes"
	"crypto/rand"
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
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// waitTimeout limits the wait for an event that normally takes milliseconds. It is long because the machine may be busy.
const waitTimeout = 15 * time.Second

// brokerBinary is the path of the broker that the tests run. TestMain sets it.
var brokerBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.DiscardHandler)) // the OP logs every rejected request
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if brokerBinary = os.Getenv("BROKER_BINARY"); brokerBinary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "broker-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	brokerBinary = filepath.Join(dir, "broker")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", brokerBinary, "./cmd/broker")
	build.Dir = ".." // the broker's module, with its own dependencies
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// testServers are the servers that a broker talks to: a login server and an API, with certificates of one test CA.
type testServers struct {
	ca      *testCA
	login   *loginServer
	api     *apiServer
	secrets []string // every client secret so far, right or wrong; none may appear in the log or in a response
}

// startTestServers starts the servers. The lifetime is that of the login server's tokens, in whole seconds.
func startTestServers(t *testing.T, lifetime time.Duration) *testServers {
	t.Helper()
	s := &testServers{ca: newTestCA(t)}
	s.login = startLoginServer(t, s.ca, s.newSecret(), lifetime)
	s.api = startAPI(t, s.ca, s.login)
	return s
}

// newSecret returns a new Client Secret. It must not appear in the log or in a response.
func (s *testServers) newSecret() string {
	secret := "s3cret-" + rand.Text()
	s.secrets = append(s.secrets, secret)
	return secret
}

// broker is a broker in its own process.
type broker struct {
	t                *testing.T
	servers          *testServers
	cmd              *exec.Cmd
	appURL, adminURL string
	log              *brokertest.LogBuffer
	exited           chan struct{}
	killed           bool
	client           *http.Client
}

// startBroker runs a broker until the test ends. Then the broker gets a SIGTERM, must exit with code 0, and must not have
// logged a secret or a token. environ is added to the variables that point the broker to the login server and the API.
func (s *testServers) startBroker(t *testing.T, environ ...string) *broker {
	t.Helper()
	return s.startCommand(t, exec.Command(brokerBinary, "serve"), environ...)
}

// startCommand is like startBroker, with a command that runs the broker.
func (s *testServers) startCommand(t *testing.T, cmd *exec.Cmd, environ ...string) *broker {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	b := &broker{
		t: t, servers: s, cmd: cmd, log: &brokertest.LogBuffer{}, exited: make(chan struct{}),
		client: &http.Client{Transport: transport, Timeout: waitTimeout},
	}
	b.cmd.Env = append([]string{
		"SSL_CERT_FILE=" + s.ca.certFile,
		"SSL_CERT_DIR=" + t.TempDir(), // empty: no other CA is trusted
		"ETRUSTED_API_URL=" + s.api.url,
		"ETRUSTED_TOKEN_URL=" + s.login.tokenURL(),
		"ETRUSTED_AUDIENCE=" + s.api.url,
		"BROKER_LISTEN=127.0.0.1:0",
		"BROKER_ADMIN_LISTEN=127.0.0.1:0",
		"BROKER_LOG_LEVEL=debug", // the most output, to look for secrets in
		"BROKER_LOG_FORMAT=json",
	}, environ...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait() // stop checks ProcessState
		close(b.exited)
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		b.stop()
	})
	eventually(t, waitTimeout, "the broker listens", b.readAddresses)
	return b
}

// readAddresses takes the two listen addresses from the log. It reports whether they have been logged.
func (b *broker) readAddresses() bool {
	select {
	case <-b.exited:
		b.t.Fatalf("the broker exited before it listened: %v", b.cmd.ProcessState)
	default:
	}
	app, admin, ok := b.log.URLs()
	b.appURL, b.adminURL = app, admin
	return ok
}

func (b *broker) stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // fails if it has exited; the exit code is checked below
	select {
	case <-b.exited:
		if code := b.cmd.ProcessState.ExitCode(); code != 0 && !b.killed {
			b.t.Errorf("after SIGTERM: got %v, want exit code 0", b.cmd.ProcessState)
		}
	case <-time.After(waitTimeout):
		_ = b.cmd.Process.Kill()
		<-b.exited
		b.t.Errorf("the broker did not exit within %v of SIGTERM", waitTimeout)
	}
	b.wantNoSecret("the log", b.log.String())
	if b.t.Failed() {
		b.t.Logf("the broker's log, without successful requests:\n%s", b.logWithoutSuccesses())
	}
}

// kill ends the broker like a crash.
func (b *broker) kill() {
	b.killed = true
	_ = b.cmd.Process.Kill()
	<-b.exited
}

func (b *broker) logWithoutSuccesses() string {
	var lines strings.Builder
	for line := range strings.Lines(b.log.String()) {
		if !containsAll(line, []string{`"level":"debug"`, `"status":200`}) {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// wantNoSecret fails the test if the text contains a client secret or an access token. what names the text in the failure.
func (b *broker) wantNoSecret(what, text string) {
	b.t.Helper()
	for _, secret := range b.servers.secrets {
		if strings.Contains(text, secret) {
			b.t.Errorf("%s contains a client secret", what)
		}
	}
	for _, token := range b.servers.api.tokens() {
		if token != "" && strings.Contains(text, signature(token)) {
			b.t.Errorf("%s contains an access token", what)
		}
	}
}

// waitForToken runs "broker wait", as a start script does.
func (b *broker) waitForToken() {
	b.t.Helper()
	cmd := exec.Command(brokerBinary, "wait", "-timeout", waitTimeout.String())
	cmd.Env = []string{"BROKER_ADMIN_LISTEN=" + strings.TrimPrefix(b.adminURL, "http://")}
	if output, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("broker wait: %v\n%s", err, output)
	}
}

// response is a response with its whole body.
type response struct {
	status int
	header http.Header
	body   string
}

// send sends a request as an app without OAuth code does.
func (b *broker) send(method, url string, body []byte) (response, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return response{}, err
	}
	resp, err := b.client.Do(request)
	if err != nil {
		return response{}, err
	}
	return readResponse(resp)
}

// readResponse reads the body of a response and closes it.
func readResponse(resp *http.Response) (response, error) {
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(text)}, err
}

func (b *broker) get(url string) response {
	b.t.Helper()
	got, err := b.send(http.MethodGet, url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// metric returns the sum of a metric's series that have all these labels, each written as name="value". A name that the
// broker does not have fails the test: otherwise a test that wants 0 would pass after the metric has been renamed.
func (b *broker) metric(name string, labels ...string) float64 {
	b.t.Helper()
	text := b.get(b.adminURL + "/metrics").body
	if !strings.Contains(text, "# TYPE etrusted_broker_"+name+" ") {
		b.t.Fatalf("/metrics has no metric etrusted_broker_%s", name)
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if family, _, _ := strings.Cut(key, "{"); family != "etrusted_broker_"+name || !containsAll(key, labels) {
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

// wantMetric fails the test unless that sum is want.
func (b *broker) wantMetric(want float64, name string, labels ...string) {
	b.t.Helper()
	if got := b.metric(name, labels...); got != want {
		b.t.Errorf("metric %s%s: got %v, want %v", name, labels, got, want)
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

// eventually polls until the condition holds, and fails the test after the timeout. what describes the condition.
func eventually(t *testing.T, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}
