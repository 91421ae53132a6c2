package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

func TestHelpListsCommandsAndVariables(t *testing.T) {
	t.Parallel()
	var want []string
	for _, name := range []string{"serve", "demo", "check", "run", "status", "allow", "wait", "health", "ca", "config", "version"} {
		want = append(want, "\n  "+name+" ")
	}
	if runtime.GOOS == "windows" {
		want = append(want, "\n  service ")
	}
	// Users rely on these variables and their defaults.
	for _, v := range []struct{ name, fallback string }{
		{"ETRUSTED_CLIENT_ID", ""},
		{"ETRUSTED_CLIENT_ID_FILE", ""},
		{"ETRUSTED_CLIENT_SECRET", ""},
		{"ETRUSTED_CLIENT_SECRET_FILE", ""},
		{"ETRUSTED_API_URL", "https://api.etrusted.com"},
		{"ETRUSTED_TOKEN_URL", "https://login.etrusted.com/oauth/token"},
		{"ETRUSTED_AUDIENCE", "https://api.etrusted.com"},
		{"ETRUSTED_SCOPES", ""},
		{"BROKER_LISTEN", "127.0.0.1:8080"},
		{"BROKER_ADMIN_LISTEN", "127.0.0.1:9464"},
		{"BROKER_UNSAFE_LISTEN", "false"},
		{"BROKER_ALLOWED_HOSTS", ""},
		{"BROKER_TOKEN_WAIT", "10s"},
		{"BROKER_UPSTREAM_TIMEOUT", "60s"},
		{"BROKER_SHUTDOWN_GRACE", "25s"},
		{"BROKER_LOG_LEVEL", "info"},
		{"BROKER_LOG_FORMAT", ""},
		{"BROKER_ACCESS_LOG", "false"},
		{"BROKER_PPROF", "false"},
	} {
		line := "\n  " + v.name
		if v.fallback != "" {
			line += "  (default " + v.fallback + ")"
		}
		want = append(want, line+"\n        ")
	}
	for _, v := range config.Variables() {
		if v.Help == "" || strings.Contains(v.Help, "\n") {
			t.Errorf("%s: got the help %q, want one line", v.Name, v.Help)
		}
		want = append(want, "\n  "+v.Name, "        "+v.Help+"\n")
	}
	want = append(want, "\n  -env-file FILE\n", "HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE", "Exit codes: 0 success, 1 ", ", 2 configuration error", "run: COMMAND's code, 126 ")

	for _, args := range [][]string{{"-h"}, {"-help"}, {"--help"}, {"help"}, {"serve", "-h"}, {"demo", "--help"}, {"health", "-h"}, {"config", "-h"}, {"version", "-h"}} {
		code, stdout, stderr := invoke(args, "ETRUSTED_CLIENT_SECRET=CANARY")
		if code != exitOK || stderr != "" {
			t.Errorf("%v: got exit code %d and stderr %q, want %d and no error", args, code, stderr, exitOK)
		}
		for _, part := range want {
			if !strings.Contains(stdout, part) {
				t.Errorf("%v: got no %q in the help, want it", args, part)
			}
		}
		if strings.Contains(stdout, "CANARY") {
			t.Errorf("%v: got a value of the environment, want none", args)
		}
	}
}

func TestWaitHelpShowsTimeout(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := invoke([]string{"wait", "-h"})
	if code != exitOK || !strings.Contains(stdout+stderr, "-timeout") || !strings.Contains(stdout+stderr, "30s") {
		t.Errorf("got exit code %d, want %d and -timeout with its default:\n%s%s", code, exitOK, stdout, stderr)
	}
}

func TestRefusesUnknownArguments(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args []string
		says string
	}{
		{[]string{"sevre"}, `there is no command "sevre"`},
		{[]string{"--port=80"}, `there is no command "--port=80"`},
		{[]string{""}, `there is no command ""`},
		{[]string{"serve", "--listen=:80"}, "flag provided but not defined: -listen"},
		{[]string{"demo", "x"}, "broker demo: takes no arguments"},
		{[]string{"health", "x"}, "broker health: takes no arguments"},
		{[]string{"config", "x"}, "broker config: takes no arguments"},
		{[]string{"version", "x"}, "broker version: takes no arguments"},
		{[]string{"wait", "x"}, "broker wait: takes no arguments but -env-file and -timeout"},
		{[]string{"wait", "-timeout", "soon"}, "-timeout"},
		{[]string{"allow", "x"}, "broker allow: takes no arguments but -caller"},
		{[]string{"wait", "-unknown"}, "-timeout"},
	}
	for _, test := range tests {
		code, stdout, stderr := invoke(test.args, brokertest.EnvironWithoutServers()...)
		if code != exitUsageOrConfig || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: got exit code %d, stdout %q and stderr %q, want %d and %q", test.args, code, stdout, stderr, exitUsageOrConfig, test.says)
		}
	}
}

func TestVersionPrintsBuild(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := invoke([]string{"version"})
	want := "etrusted-broker " + version + " (revision " + revision + ", " + runtime.Version() + ")\n"
	if code != exitOK || stdout != want || stderr != "" {
		t.Errorf("got exit code %d, %q and stderr %q, want %d and %q", code, stdout, stderr, exitOK, want)
	}
	if version == "" || revision == "" {
		t.Errorf("got version %q and revision %q, want both", version, revision)
	}
}

// configRow is a line of the output of config, without the variable's name.
type configRow struct{ value, source, meaning string }

var columns = regexp.MustCompile(` {2,}`)

// configRows returns the rows of the output of config by variable.
func configRows(t *testing.T, stdout string) map[string]configRow {
	t.Helper()
	rows := map[string]configRow{}
	for line := range strings.Lines(stdout) {
		cells := columns.Split(strings.TrimSpace(line), -1)
		if len(cells) != 4 {
			t.Fatalf("got %d columns, want 4: %q", len(cells), line)
		}
		rows[cells[0]] = configRow{cells[1], cells[2], cells[3]}
	}
	if rows["VARIABLE"] != (configRow{"VALUE", "SOURCE", "MEANING"}) {
		t.Errorf("got no heading, want one:\n%s", stdout)
	}
	return rows
}

func TestConfigShowsValuesAndSources(t *testing.T) {
	t.Parallel()
	const secret = "CANARY-0123456789-0123456789-0123456" // 36 bytes
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials := []string{"ETRUSTED_CLIENT_ID=CANARY-id", "ETRUSTED_CLIENT_SECRET=" + secret}
	tests := []struct {
		name    string
		environ []string
		code    int
		invalid []string
		want    map[string]configRow // without meanings
	}{
		{"defaults", credentials, exitOK, nil, map[string]configRow{
			"ETRUSTED_CLIENT_ID":          {"(set, 9 bytes)", "environment", ""},
			"ETRUSTED_CLIENT_ID_FILE":     {"-", "-", ""},
			"ETRUSTED_CLIENT_SECRET":      {"(set, 36 bytes)", "environment", ""},
			"ETRUSTED_CLIENT_SECRET_FILE": {"-", "-", ""},
			"ETRUSTED_API_URL":            {"https://api.etrusted.com", "default", ""},
			"ETRUSTED_SCOPES":             {"-", "-", ""},
			"BROKER_LISTEN":               {"127.0.0.1:8080", "default", ""},
			"BROKER_ADMIN_LISTEN":         {"127.0.0.1:9464", "default", ""},
			"BROKER_UNSAFE_LISTEN":        {"false", "default", ""},
			"BROKER_SHUTDOWN_GRACE":       {"25s", "default", ""},
			"BROKER_LOG_LEVEL":            {"info", "default", ""},
			"BROKER_LOG_FORMAT":           {"-", "-", ""},
		}},
		{"from the environment", append([]string{
			"ETRUSTED_API_URL=http://localhost:1", "ETRUSTED_SCOPES=a  b", "BROKER_TOKEN_WAIT=90s", "BROKER_ALLOWED_HOSTS=a,b", "BROKER_PASS_HOSTS=*.example.com, *:8443",
			"BROKER_ADMIN_LISTEN=", "BROKER_LOG_LEVEL=debug", "BROKER_LISTEN=",
		}, credentials...), exitOK, nil, map[string]configRow{
			"ETRUSTED_API_URL":     {"http://localhost:1", "environment", ""},
			"ETRUSTED_SCOPES":      {"a b", "environment", ""},
			"BROKER_TOKEN_WAIT":    {"1m30s", "environment", ""},
			"BROKER_ALLOWED_HOSTS": {"a,b", "environment", ""},
			"BROKER_PASS_HOSTS":    {"*.example.com,*:8443", "environment", ""},
			"BROKER_ADMIN_LISTEN":  {"-", "environment", ""},
			"BROKER_LOG_LEVEL":     {"debug", "environment", ""},
			"BROKER_LISTEN":        {"127.0.0.1:8080", "default", ""}, // empty is unset, except for BROKER_ADMIN_LISTEN
		}},
		{"from files", []string{"ETRUSTED_CLIENT_ID=CANARY-id", "ETRUSTED_CLIENT_SECRET_FILE=" + file}, exitOK, nil, map[string]configRow{
			"ETRUSTED_CLIENT_SECRET":      {"(set, 36 bytes)", "ETRUSTED_CLIENT_SECRET_FILE", ""},
			"ETRUSTED_CLIENT_SECRET_FILE": {file, "environment", ""},
		}},
		{"without credentials", nil, exitUsageOrConfig, []string{"ETRUSTED_CLIENT_ID", "ETRUSTED_CLIENT_SECRET"}, map[string]configRow{
			"ETRUSTED_CLIENT_ID":     {"(not set)", "-", ""},
			"ETRUSTED_CLIENT_SECRET": {"(not set)", "-", ""},
		}},
		{"passwords in URLs", append([]string{
			"ETRUSTED_API_URL=https://user:CANARY@host", "ETRUSTED_TOKEN_URL=https://user:CANARY@host/oauth/token",
		}, credentials...), exitUsageOrConfig, []string{"ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL"}, map[string]configRow{
			"ETRUSTED_API_URL": {"(not valid)", "environment", ""},
		}},
		{"secret and secret file", append([]string{"ETRUSTED_CLIENT_SECRET_FILE=" + file}, credentials...), exitUsageOrConfig, []string{"ETRUSTED_CLIENT_SECRET"}, map[string]configRow{
			"ETRUSTED_CLIENT_ID": {"(set, 9 bytes)", "environment", ""},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := invoke([]string{"config"}, test.environ...)
			if code != test.code || !slices.Equal(problemsIn(stderr), test.invalid) {
				t.Errorf("got exit code %d, want %d and problems with %v: %s", code, test.code, test.invalid, stderr)
			}
			rows := configRows(t, stdout)
			for _, v := range config.Variables() {
				if rows[v.Name].meaning != v.Help {
					t.Errorf("%s: got the meaning %q, want %q", v.Name, rows[v.Name].meaning, v.Help)
				}
			}
			for name, want := range test.want {
				if got := rows[name]; got.value != want.value || got.source != want.source {
					t.Errorf("%s: got %q from %q, want %q from %q", name, got.value, got.source, want.value, want.source)
				}
			}
			if strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("a secret is shown:\n%s%s", stdout, stderr)
			}
		})
	}
}
