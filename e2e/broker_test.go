package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// brokerBinary is the path of the broker that the tests run. TestMain sets it.
var brokerBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.DiscardHandler)) // the OP logs every rejected request
	}
	os.Exit(brokertest.WithProgram("..", func(path string) int {
		brokerBinary = path
		return m.Run()
	}))
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
	s := &testServers{ca: newTestCA(t, "localhost")}
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
	*brokertest.Process
	t                *testing.T
	servers          *testServers
	appURL, adminURL string
	client           *http.Client
}

// startBroker runs a broker until the test ends. Then the broker gets a SIGTERM, must exit with code 0, and must not have
// logged a secret or a token. environ is added to the variables that point the broker to the login server and the API, with the
// right credentials.
func (s *testServers) startBroker(t *testing.T, environ ...string) *broker {
	t.Helper()
	return s.startCommand(t, exec.Command(brokerBinary, "serve"), environ...)
}

// startReadyBroker is startBroker for one that gets a token, and waits for that.
func (s *testServers) startReadyBroker(t *testing.T, environ ...string) *broker {
	t.Helper()
	b := s.startBroker(t, environ...)
	b.waitForToken()
	return b
}

// noCredentials are variables for a broker that reads its credentials from files.
var noCredentials = []string{"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET="}

// successes are the log lines of successful requests. A failed test does not print them.
var successes = regexp.MustCompile(`"level":"debug".*"status":200`)

// startCommand is like startBroker, with a command that runs the broker.
func (s *testServers) startCommand(t *testing.T, cmd *exec.Cmd, environ ...string) *broker {
	t.Helper()
	cmd.Env = append([]string{
		"SSL_CERT_FILE=" + s.ca.certFile,
		"SSL_CERT_DIR=" + t.TempDir(), // empty: no other CA is trusted
		"ETRUSTED_API_URL=" + s.api.url,
		"ETRUSTED_TOKEN_URL=" + s.login.tokenURL(),
		"ETRUSTED_AUDIENCE=" + s.api.url,
		"ETRUSTED_CLIENT_ID=" + clientID,
		"ETRUSTED_CLIENT_SECRET=" + s.login.currentSecret(),
		"BROKER_LISTEN=127.0.0.1:0",
		"BROKER_ADMIN_LISTEN=127.0.0.1:0",
		"BROKER_LOG_LEVEL=debug", // the most output, to look for secrets in
		"BROKER_LOG_FORMAT=json",
	}, environ...)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	b := &broker{
		Process: brokertest.StartProcess(t, cmd, successes), t: t, servers: s,
		client: &http.Client{Transport: transport, Timeout: brokertest.Timeout},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		b.stop()
	})
	brokertest.Eventually(t, "the broker listens", func() (ok bool) {
		select {
		case <-b.Ended:
			t.Fatalf("the broker exited before it listened: %v", cmd.ProcessState)
		default:
		}
		b.appURL, b.adminURL, ok = b.Output.URLs()
		return ok
	})
	return b
}

// stop ends the broker with a SIGTERM, unless it has been killed.
func (b *broker) stop() {
	_ = b.Cmd.Process.Signal(syscall.SIGTERM) // fails if it has exited
	code := b.Wait()
	if status, ok := b.Cmd.ProcessState.Sys().(syscall.WaitStatus); code != 0 && !(ok && status.Signal() == syscall.SIGKILL) {
		b.t.Errorf("after SIGTERM: got %v, want exit code 0", b.Cmd.ProcessState)
	}
	b.wantNoSecret("the log", b.Output.String())
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
	cmd := exec.Command(brokerBinary, "wait", "-timeout", brokertest.Timeout.String())
	cmd.Env = []string{"BROKER_ADMIN_LISTEN=" + strings.TrimPrefix(b.adminURL, "http://")}
	if output, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("broker wait: %v\n%s", err, output)
	}
}

// sleepUntilOld waits until a token that was fetched at that time is older than ten seconds. The broker keeps a younger one even
// if the API rejects it.
func sleepUntilOld(fetched time.Time) { time.Sleep(time.Until(fetched.Add(10500 * time.Millisecond))) }

// send sends a request as an app without OAuth code does.
func (b *broker) send(method, url string, body []byte) brokertest.Response {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return brokertest.Response{Err: err}
	}
	return brokertest.ReadResponse(b.client.Do(request))
}

func (b *broker) get(url string) brokertest.Response {
	b.t.Helper()
	got := b.send(http.MethodGet, url, nil)
	if got.Err != nil {
		b.t.Fatal(got.Err)
	}
	return got
}

// metric returns the sum of a metric's series that have all these labels, each written as name="value". A name that the
// broker does not have fails the test: otherwise a test that wants 0 would pass after the metric has been renamed.
func (b *broker) metric(name string, labels ...string) (sum float64) {
	b.t.Helper()
	text := b.get(b.adminURL + "/metrics").Body
	if !strings.Contains(text, "# TYPE etrusted_broker_"+name+" ") {
		b.t.Fatalf("/metrics has no metric etrusted_broker_%s", name)
	}
	for _, series := range regexp.MustCompile(`(?m)^etrusted_broker_`+name+`(\{.*\})? (\S+)`).FindAllStringSubmatch(text, -1) {
		number, err := strconv.ParseFloat(series[2], 64)
		if err != nil {
			b.t.Fatalf("/metrics: %q: %v", series[0], err)
		}
		if !slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(series[1], label) }) {
			sum += number
		}
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

// within waits until a condition is true, and fails the test if that took longer than the limit.
func within(t *testing.T, limit time.Duration, what string, isTrue func() bool) {
	t.Helper()
	began := time.Now()
	brokertest.Eventually(t, what, isTrue)
	if took := time.Since(began); took > limit {
		t.Errorf("%s: after %v, want at most %v", what, took, limit)
	}
}

// writeFiles writes files below a directory, which it creates.
func writeFiles(t *testing.T, dir string, contents map[string]string) {
	t.Helper()
	for name, content := range contents {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// tempFile returns the path of a new file with this content.
func tempFile(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"file": content})
	return filepath.Join(dir, "file")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// skip skips the test for what is missing, or fails it if the variable has the value "required".
func skip(t *testing.T, variable, missing string) {
	t.Helper()
	if os.Getenv(variable) == "required" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// need skips the test unless the program is in PATH, or fails it if the variable has the value "required".
func need(t *testing.T, program, variable, untested string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		skip(t, variable, "NO "+program+" IN PATH: "+untested+" NOT TESTED")
	}
}
