package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// invokeRun runs the command run in this process, with PATH, and returns its exit code and output.
func invokeRun(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a POSIX shell")
	}
	return invokeIn(t.Context(), append([]string{"run"}, args...), append(environ, "PATH="+os.Getenv("PATH")))
}

func TestRunReturnsTheCommandsExitCode(t *testing.T) {
	t.Parallel()
	notExecutable := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		rule string
		args []string
		want int
	}{
		{"the command's code", []string{"-demo", "--", "sh", "-c", "exit 7"}, 7},
		{"success, without --", []string{"-demo", "true"}, 0},
		{"128 and the signal", []string{"-demo", "sh", "-c", "kill -9 $$"}, 137},
		{"not found", []string{"-demo", "no-such-command"}, 127},
		{"cannot be run", []string{"-demo", notExecutable}, 126},
		{"no command", []string{"-demo"}, exitUsageOrConfig},
		{"the demo has no https address to intercept", []string{"-demo", "-intercept", "true"}, exitUsageOrConfig},
		{"unknown flag", []string{"-nonsense", "true"}, exitUsageOrConfig},
		{"no credentials", []string{"true"}, exitUsageOrConfig},
	} {
		if code, _, stderr := invokeRun(t, nil, test.args...); code != test.want {
			t.Errorf("%s: got exit code %d, want %d:\n%s", test.rule, code, test.want, stderr)
		}
	}
}

// The command finds the broker, and no secret.
func TestRunLeadsTheCommandToTheBroker(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	environ := brokertest.Environ(brokertest.Serve(t, eTrusted),
		"ETRUSTED_CLIENT_SECRET_FILE=", "BROKER_TOKEN_STORE=", "APP_CHANNEL=chl-1", "CREDENTIALS_DIRECTORY=/run/credentials/x", "BROKER_INTERCEPT_LISTEN=127.0.0.1:1")
	code, stdout, stderr := invokeRun(t, environ, "--", "env")
	if code != exitOK || stderr != "" {
		t.Fatalf("got exit code %d, want 0 and no output of the broker: %s", code, stderr)
	}
	variables := map[string]string{}
	for line := range strings.Lines(stdout) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		variables[name] = value
	}
	url := variables["ETRUSTED_API_URL"]
	if !strings.HasPrefix(url, "http://127.0.0.1:") || variables["ETRUSTED_TOKEN_URL"] != url+"/oauth/token" {
		t.Errorf("got the URLs %q and %q, want the broker's", url, variables["ETRUSTED_TOKEN_URL"])
	}
	if variables["APP_CHANNEL"] != "chl-1" {
		t.Error("got no APP_CHANNEL, want the command's own variables unchanged")
	}
	for _, name := range []string{"ETRUSTED_CLIENT_ID", "ETRUSTED_CLIENT_ID_FILE", "ETRUSTED_CLIENT_SECRET", "ETRUSTED_CLIENT_SECRET_FILE",
		"ETRUSTED_ACCOUNTS_DIR", "BROKER_ACCESS_KEY", "BROKER_ACCESS_KEY_FILE", "BROKER_TOKEN_STORE", "BROKER_TOKEN_STORE_FILE", "BROKER_TLS_KEY_FILE",
		"BROKER_INTERCEPT_CA_DIR", "CREDENTIALS_DIRECTORY"} {
		if value, exists := variables[name]; exists {
			t.Errorf("got %s=%s, want it removed", name, value)
		}
	}
	if strings.Contains(stdout, fakeetrusted.DefaultClientSecret) {
		t.Errorf("the secret is in the command's environment:\n%s", stdout)
	}
}

func TestRunWaitsForTheToken(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(t.TempDir(), "ran")
	code, _, stderr := invokeRun(t, brokertest.EnvironWithoutServers(), "-timeout", "300ms", "touch", ran)
	if code != exitFailure || !strings.Contains(stderr, "gave up after 300ms") {
		t.Errorf("got exit code %d, want %d and the reason: %s", code, exitFailure, stderr)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command was run without a token")
	}
}

// Warnings go to standard error, and the whole log into a file.
func TestRunWritesTheLogElsewhere(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	code, stdout, stderr := invokeRun(t, nil, "-demo", "-log", log, "echo", "hello")
	text, err := os.ReadFile(log)
	if code != exitOK || stdout != "hello\n" || stderr != "" || err != nil || !strings.Contains(string(text), "listening") || !strings.Contains(string(text), "all requests have finished") {
		t.Errorf("got %d, %q, %q, %v and the log %s", code, stdout, stderr, err, text)
	}
}

// With -intercept, hard-coded URLs lead to the broker.
func TestRunIntercepts(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	upstream := brokertest.Serve(t, eTrusted)
	// The API is on this machine, so NO_PROXY must not apply.
	hardCoded := strings.Replace(upstream, "http:", "https:", 1)
	code, stdout, stderr := invokeRun(t, brokertest.Environ(upstream), "-intercept", "--",
		"sh", "-c", `NO_PROXY= no_proxy= curl --silent --show-error --fail "$0/channels" && test -s "$SSL_CERT_FILE" && test -s "${PHP_INI_SCAN_DIR#*:}/php.ini" && echo " $JAVA_TOOL_OPTIONS $NODE_USE_ENV_PROXY $HTTPS_PROXY $https_proxy"`, hardCoded)
	if code != exitOK || !strings.Contains(stdout, "chl-") || !strings.Contains(stdout, "-Dhttps.proxyHost=127.0.0.1") || eTrusted.APIRequestCount() != 1 {
		t.Errorf("got exit code %d, %d requests at the API and %s\n%s", code, eTrusted.APIRequestCount(), stdout, stderr)
	}
	_, dir, _ := strings.Cut(stdout, "-Djavax.net.ssl.trustStore=\"")
	dir, _, _ = strings.Cut(dir, "/truststore.jks")
	if _, err := os.Stat(dir); err == nil || dir == "" {
		t.Errorf("got the directory %q, want it removed", dir)
	}
	if code, _, stderr = invokeRun(t, brokertest.Environ(upstream, "BROKER_ACCESS_KEY=the-key-0815-4711"), "-intercept", "true"); code != exitUsageOrConfig || !strings.Contains(stderr, "cannot be used with an access key") {
		t.Errorf("with an access key: got exit code %d, want %d: %s", code, exitUsageOrConfig, stderr)
	}
}

// With -intercept, other hosts pass through, unless the configuration says which.
func TestRunPassesOtherHostsThrough(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	for hosts, want := range map[string]string{"": "address-refused", "other.example": "target-not-allowed"} {
		environ := brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_PASS_HOSTS="+hosts)
		code, stdout, stderr := invokeRun(t, environ, "-intercept", "--", "sh", "-c", `curl --silent --show-error --proxy "$HTTPS_PROXY" http://169.254.169.254/`)
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("BROKER_PASS_HOSTS=%s: got %d, %s %s, want a refusal %s", hosts, code, stdout, stderr, want)
		}
	}
}

// The signals of a process reach the command, which may take its time to end.
func TestRunForwardsSignals(t *testing.T) {
	t.Parallel()
	script := `trap 'echo got-term; exit 3' TERM; echo ready; while :; do sleep 0.05; done`
	command := exec.CommandContext(t.Context(), buildBroker(t), "run", "-demo", "--", "sh", "-c", script)
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr brokertest.LogBuffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, ready); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stdout)
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != 3 || string(rest) != "got-term\n" {
		t.Errorf("got exit code %d and %q, want 3 and got-term: %s", code, rest, stderr.String())
	}
}
