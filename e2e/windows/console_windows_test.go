package windows

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// The credentials of the demo's fake eTrusted.
const (
	clientID     = "a1b2c3d4e5f6__demo"
	clientSecret = "stand-in-secret-not-a-real-one"
)

// demoEnvironment makes a demo choose a free port.
func demoEnvironment() []string {
	return environment("BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=")
}

// startFake starts a fake eTrusted, that of a demo, and returns its address.
func startFake(t *testing.T) (url string) {
	t.Helper()
	return start(t, demoEnvironment(), "demo").valueAfter("the fake eTrusted  ")
}

// settings are the variables and files of a broker in front of a fake eTrusted.
type settings struct{ dir, file, clientSecret, listen, adminListen string }

// newSettings writes a file of variables in which backslashes separate the parts of paths, and the Client ID. There is no secret yet.
func newSettings(t *testing.T, eTrusted string, more ...string) settings {
	t.Helper()
	dir := tempDir(t)
	s := settings{dir, filepath.Join(dir, "broker.env"), filepath.Join(dir, "client_secret"), brokertest.ClosedPort(t), brokertest.ClosedPort(t)}
	clientIDFile := filepath.Join(dir, "client_id")
	lines := append([]string{
		"ETRUSTED_API_URL=" + eTrusted, "ETRUSTED_TOKEN_URL=" + eTrusted + "/oauth/token",
		"ETRUSTED_CLIENT_ID_FILE=" + clientIDFile, "ETRUSTED_CLIENT_SECRET_FILE=" + s.clientSecret,
		"BROKER_LISTEN=" + s.listen, "BROKER_ADMIN_LISTEN=" + s.adminListen,
	}, more...)
	writeFile(t, s.file, strings.Join(lines, "\r\n")+"\r\n")
	writeFile(t, clientIDFile, clientID+"\r\n")
	return s
}

func TestDemoServesAndEndsWhenInterrupted(t *testing.T) {
	demo := startForeground(t, demoEnvironment(), "demo")
	demo.waitFor("Ctrl-C ends it.")
	url, eTrusted := demo.valueAfter("the app's address"), demo.valueAfter("the fake eTrusted  ")
	if got := get(url + "/channels"); got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
		t.Errorf("got status %d and %s, want 200 and channels", got.Status, got.Body)
	}
	if got := get(eTrusted + "/channels"); got.Status != http.StatusUnauthorized {
		t.Errorf("without the broker: got status %d, want 401", got.Status)
	}
	if !strings.Contains(demo.Output.String(), `curl.exe "`+url) {
		t.Error(`got no command with curl.exe and double quotes, want one`)
	}
	demo.interrupt()
	demo.wantCleanExit()
}

func TestServeFollowsItsFilesAndDrains(t *testing.T) {
	s := newSettings(t, startFake(t))
	broker := startForeground(t, environment(), "serve", "-env-file", s.file)
	broker.waitFor("there are no credentials yet; waiting for the files")
	url := "http://" + s.listen

	writeFile(t, s.clientSecret, clientSecret+"\r\n")
	mustRun(t, environment(), "wait", "-env-file", s.file)
	if got := get(url + "/channels"); got.Status != http.StatusOK {
		t.Errorf("with the secret: got status %d, want 200: %s", got.Status, got.Body)
	}
	writeFile(t, s.clientSecret, "a-wrong-secret\r\n")
	broker.waitFor("new credentials do not work; keeping the old ones")
	if got := get(url + "/channels"); got.Status != http.StatusOK {
		t.Errorf("after a wrong secret: got status %d, want 200: %s", got.Status, got.Body)
	}

	finish := upload(t, url)
	broker.interrupt()
	broker.waitFor("shutting down")
	if got := finish(); got.Status != http.StatusCreated {
		t.Errorf("the upload during the shutdown: got status %d (%v), want 201", got.Status, got.Err)
	}
	broker.wantCleanExit()
	if strings.Contains(broker.Output.String(), clientSecret) {
		t.Error("got the secret in the log, want none")
	}
}

func TestCheckSaysWhatToDoOnWindows(t *testing.T) {
	s := newSettings(t, startFake(t))
	writeFile(t, s.clientSecret, clientSecret)
	if output := mustRun(t, environment(), "check", "-env-file", s.file); !strings.Contains(output, "With the broker running, try: curl.exe -s http://127.0.0.1:") {
		t.Errorf("got no command with curl.exe, want one:\n%s", output)
	}
	listener := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	closed := brokertest.ClosedPort(t)
	for name, test := range map[string]struct {
		variable string
		code     int
		want     string
	}{
		"certificate store": {"SSL_CERT_FILE=C:\\ca.pem", 0, "SSL_CERT_FILE has no effect on Windows"},
		"port in use":       {"BROKER_LISTEN=" + listener.Addr().String(), 1, "'netstat -ano' shows its process ID"},
		"API is down":       {"ETRUSTED_API_URL=http://" + closed, 1, closed + " refused the connection"},
		"no path":           {"BROKER_ACCESS_KEY_FILE=key", 2, `must be a path starting with a drive or .\`},
		"missing file":      {"ETRUSTED_CLIENT_SECRET_FILE=" + filepath.Join(s.dir, "none"), 2, filepath.Join(s.dir, "none") + " does not exist"},
		"Unix socket":       {"BROKER_LISTEN=unix:///run/broker.sock", 1, "cannot be protected from other users on Windows"},
	} {
		more := filepath.Join(s.dir, "more.env")
		writeFile(t, more, test.variable)
		if output, code := run(t, environment(), "check", "-env-file", s.file, "-env-file", more); code != test.code || !strings.Contains(output, test.want) {
			t.Errorf("%s: got exit code %d, want %d and %q:\n%s", name, code, test.code, test.want, output)
		}
	}
}
