package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvFileReplacesTheEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := writeFile(t, filepath.Join(dir, "first"), "# a comment\nBROKER_LISTEN=127.0.0.1:1\nBROKER_ALLOW=\"READ-ONLY\"\n")
	second := writeFile(t, filepath.Join(dir, "second"), "BROKER_LISTEN=127.0.0.1:2\r\n")
	environ := append(brokertest.EnvironWithoutServers(), "BROKER_LISTEN=127.0.0.1:3", "BROKER_LOG_LEVEL=error")
	for _, test := range []struct {
		args   []string
		listen string
		source string // of BROKER_LISTEN
	}{
		{[]string{"config"}, "127.0.0.1:3", "environment"},
		{[]string{"config", "-env-file", first}, "127.0.0.1:1", first},
		{[]string{"-env-file", first, "config"}, "127.0.0.1:1", first},
		{[]string{"--env-file=" + first, "config", "--env-file=" + second}, "127.0.0.1:2", second},
		{[]string{"-env-file", second, "-env-file", first, "config"}, "127.0.0.1:1", first},
	} {
		code, stdout, stderr := invoke(test.args, environ...)
		rows := strings.Join(strings.Fields(stdout), " ")
		if code != exitOK || !strings.Contains(rows, " BROKER_LISTEN "+test.listen+" "+test.source+" ") || !strings.Contains(rows, " BROKER_LOG_LEVEL error environment ") {
			t.Errorf("%q: got exit code %d and %s%s, want BROKER_LISTEN %s from %s", test.args, code, stdout, stderr, test.listen, test.source)
		}
	}
}

func TestEveryCommandHasTheFlagEnvFile(t *testing.T) {
	t.Parallel()
	for _, c := range commands() {
		for _, args := range [][]string{{c.name, "-env-file", "/no/such/file"}, {"-env-file", "/no/such/file", c.name}} {
			code, stdout, stderr := invoke(args, brokertest.EnvironWithoutServers()...)
			if code != exitUsageOrConfig || stdout != "" || !strings.Contains(stderr, "/no/such/file: file not found") {
				t.Errorf("%q: got exit code %d, %q and %q, want %d and that the file is not found", args, code, stdout, stderr, exitUsageOrConfig)
			}
		}
	}
	for _, args := range [][]string{{"-env-file"}, {"config", "-env-file"}} {
		if code, _, stderr := invoke(args); code != exitUsageOrConfig || !strings.Contains(stderr, "-env-file") {
			t.Errorf("%q: got exit code %d and %q, want %d and the flag's name", args, code, stderr, exitUsageOrConfig)
		}
	}
}

func TestSplitsArguments(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                             "serve:",
		"check -json":                  "check: -json",
		"-h":                           "-h:",
		"-env-file f":                  "serve: -env-file f",
		"-env-file f -h":               "-h: -env-file f",
		"-env-file=f demo":             "demo: -env-file=f",
		"run -- sh -env-file f":        "run: -- sh -env-file f",
		"-env-file f run -log l sh -c": "run: -env-file f -log l sh -c",
	} {
		name, rest := splitCommandOrServe(strings.Fields(args))
		if got := strings.TrimSpace(name + ": " + strings.Join(rest, " ")); got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}

// Packages net/http and crypto/x509 read these variables from the process.
func TestEnvFileHasVariablesOfOtherPackages(t *testing.T) {
	t.Parallel()
	file := writeFile(t, filepath.Join(t.TempDir(), "file"), "HTTPS_PROXY=http://127.0.0.1:1\nETRUSTED_TOKEN_URL=https://login.invalid/oauth/token\n")
	cmd := exec.Command(buildBroker(t), "check", "-env-file", file)
	cmd.Env = brokertest.EnvironWithoutServers()
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "the proxy (HTTPS_PROXY): 127.0.0.1:1 refused the connection") {
		t.Errorf("got %s, want that the proxy refuses the connection", out)
	}
}

func TestUsesTheSettingsOfThePackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	credentials := []string{"ETRUSTED_CLIENT_ID_FILE=" + filepath.Join(dir, "client_id"), "ETRUSTED_CLIENT_SECRET_FILE=" + filepath.Join(dir, "client_secret")}
	for _, test := range []struct {
		settings string // of broker.env; "-" without that file
		environ  []string
		want     []string // of the broker's variables; nil if there is an error
		used     bool
	}{
		{"-", []string{"PATH=/bin"}, credentials, true},
		{"BROKER_ALLOW=READ-ONLY", []string{"PATH=/bin", "BROKER_PORT=tcp://10.0.0.1:80"}, append(slices.Clone(credentials), "BROKER_ALLOW=READ-ONLY"), true},
		{"BROKER_ALLOW=READ-ONLY", []string{"BROKER_LISTEN=x"}, []string{"BROKER_LISTEN=x"}, false},
		{"BROKER_ALLOW", nil, nil, false},
	} {
		if path := filepath.Join(dir, "broker.env"); test.settings == "-" {
			_ = os.Remove(path)
		} else {
			writeFile(t, path, test.settings)
		}
		i := invocation{environ: test.environ}
		used, err := i.addPackageVariables(dir)
		got := slices.DeleteFunc(slices.Clone(i.environ), func(pair string) bool {
			return strings.HasPrefix(pair, "PATH=") || strings.HasPrefix(pair, "BROKER_PORT=")
		})
		if used != test.used || !slices.Equal(got, test.want) || (err == nil) == (test.settings == "BROKER_ALLOW") {
			t.Errorf("%s with %q: got %t, %q, %v, want %t, %q", test.settings, test.environ, used, got, err, test.used, test.want)
		}
	}
	i := invocation{}
	if used, err := i.addPackageVariables(filepath.Join(dir, "missing")); used || err != nil {
		t.Errorf("without the directory: got %t, %v, want false", used, err)
	}
	i.envFiles = []string{"file"}
	if used, err := i.addPackageVariables(dir); used || err != nil {
		t.Errorf("with -env-file: got %t, %v, want false", used, err)
	}
}
