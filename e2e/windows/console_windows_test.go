package windows

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
type settings struct{ dir, file, clientID, clientSecret string }

// newSettings writes a file of variables in which backslashes separate the parts of paths, and the Client ID. There is no secret yet.
func newSettings(t *testing.T, eTrusted string, more ...string) settings {
	t.Helper()
	dir := tempDir(t)
	s := settings{dir, filepath.Join(dir, "broker.env"), filepath.Join(dir, "client_id"), filepath.Join(dir, "client_secret")}
	lines := append([]string{
		"ETRUSTED_API_URL=" + eTrusted, "ETRUSTED_TOKEN_URL=" + eTrusted + "/oauth/token",
		"ETRUSTED_CLIENT_ID_FILE=" + s.clientID, "ETRUSTED_CLIENT_SECRET_FILE=" + s.clientSecret,
		"BROKER_LISTEN=" + freeAddress(t), "BROKER_ADMIN_LISTEN=" + freeAddress(t),
	}, more...)
	writeFile(t, s.file, strings.Join(lines, "\r\n")+"\r\n")
	writeFile(t, s.clientID, clientID+"\r\n")
	return s
}

// value returns the value of a variable in the file.
func (s settings) value(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(content), name+"=")
	value, _, _ = strings.Cut(value, "\r\n")
	return value
}

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestDemoServesAndEndsWhenInterrupted(t *testing.T) {
	demo := startForeground(t, demoEnvironment(), "demo")
	demo.waitFor("Ctrl-C ends it.")
	url, eTrusted := demo.valueAfter("the app's address"), demo.valueAfter("the fake eTrusted  ")
	if status, body := get(url + "/channels"); status != http.StatusOK || !strings.Contains(body, "chl-") {
		t.Errorf("got status %d and %s, want 200 and channels", status, body)
	}
	if status, _ := get(eTrusted + "/channels"); status != http.StatusUnauthorized {
		t.Errorf("without the broker: got status %d, want 401", status)
	}
	if !strings.Contains(demo.output.String(), `curl.exe "`+url) {
		t.Error(`got no command with curl.exe and double quotes, want one`)
	}
	demo.interrupt()
	demo.wantCleanExit()
}

func TestServeFollowsItsFilesAndDrains(t *testing.T) {
	s := newSettings(t, startFake(t))
	broker := startForeground(t, environment(), "serve", "-env-file", s.file)
	broker.waitFor("there are no credentials yet; waiting for the files")
	url := "http://" + s.value(t, "BROKER_LISTEN")

	writeFile(t, s.clientSecret, clientSecret+"\r\n")
	mustRun(t, environment(), "wait", "-env-file", s.file)
	if status, body := get(url + "/channels"); status != http.StatusOK {
		t.Errorf("with the secret: got status %d, want 200: %s", status, body)
	}
	writeFile(t, s.clientSecret, "a-wrong-secret\r\n")
	broker.waitFor("new credentials do not work; keeping the old ones")
	if status, body := get(url + "/channels"); status != http.StatusOK {
		t.Errorf("after a wrong secret: got status %d, want 200: %s", status, body)
	}

	finish := upload(t, url)
	broker.interrupt()
	broker.waitFor("shutting down")
	if status := finish(); status != http.StatusCreated {
		t.Errorf("the upload during the shutdown: got status %d, want 201", status)
	}
	broker.wantCleanExit()
	if strings.Contains(broker.output.String(), clientSecret) {
		t.Error("got the secret in the log, want none")
	}
}

func TestCheckSaysWhatToDoOnWindows(t *testing.T) {
	s := newSettings(t, startFake(t))
	writeFile(t, s.clientSecret, clientSecret)
	if output := mustRun(t, environment(), "check", "-env-file", s.file); !strings.Contains(output, "With the broker running, try: curl.exe -s http://127.0.0.1:") {
		t.Errorf("got no command with curl.exe, want one:\n%s", output)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	closed := freeAddress(t)
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
