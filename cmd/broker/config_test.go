package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// problemsIn returns the variables that a complaint names, one for each problem.
func problemsIn(stderr string) []string {
	var names []string
	for line := range strings.Lines(stderr) {
		if text, isProblem := strings.CutPrefix(line, "  "); isProblem {
			name, _, _ := strings.Cut(text, ":")
			names = append(names, name)
		}
	}
	return names
}

// TestReportsInvalidVariableWithoutItsValue holds that what is wrong is said of the right variable, with what to do, and without the value. Each
// value that must not be seen holds the word CANARY.
func TestReportsInvalidVariableWithoutItsValue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		environ  []string
		variable string
		says     string
	}{
		{"no id", []string{"ETRUSTED_CLIENT_ID="}, "ETRUSTED_CLIENT_ID", "is not set: set it, or ETRUSTED_CLIENT_ID_FILE"},
		{"no secret", []string{"ETRUSTED_CLIENT_SECRET="}, "ETRUSTED_CLIENT_SECRET", "is not set: set it, or ETRUSTED_CLIENT_SECRET_FILE"},
		{"both ids", []string{"ETRUSTED_CLIENT_ID=CANARY1", "ETRUSTED_CLIENT_ID_FILE=/CANARY2"}, "ETRUSTED_CLIENT_ID", "both ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_ID_FILE are set"},
		{"both secrets", []string{"ETRUSTED_CLIENT_SECRET=CANARY1", "ETRUSTED_CLIENT_SECRET_FILE=/CANARY2"}, "ETRUSTED_CLIENT_SECRET", "both ETRUSTED_CLIENT_SECRET and ETRUSTED_CLIENT_SECRET_FILE are set"},

		{"API is no URL", []string{"ETRUSTED_API_URL=CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API without scheme", []string{"ETRUSTED_API_URL=api.canary.CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API with another scheme", []string{"ETRUSTED_API_URL=ftp://CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API without host", []string{"ETRUSTED_API_URL=https:///CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API that cannot be parsed", []string{"ETRUSTED_API_URL=https://x:CANARY%zz@host"}, "ETRUSTED_API_URL", "https://"},
		{"API with a control character", []string{"ETRUSTED_API_URL=https://CANARY\n"}, "ETRUSTED_API_URL", "https://"},
		{"API with password", []string{"ETRUSTED_API_URL=https://CANARY1:CANARY2@host"}, "ETRUSTED_API_URL", "user name or password"},
		{"API with user", []string{"ETRUSTED_API_URL=https://CANARY@host"}, "ETRUSTED_API_URL", "user name or password"},
		{"API with path", []string{"ETRUSTED_API_URL=https://host/CANARY"}, "ETRUSTED_API_URL", "without a path"},
		{"API with two slashes", []string{"ETRUSTED_API_URL=https://host//"}, "ETRUSTED_API_URL", "without a path"},
		{"API with query", []string{"ETRUSTED_API_URL=https://host?CANARY"}, "ETRUSTED_API_URL", "query"},
		{"API with empty query", []string{"ETRUSTED_API_URL=https://host?"}, "ETRUSTED_API_URL", "query"},
		{"API with fragment", []string{"ETRUSTED_API_URL=https://host#CANARY"}, "ETRUSTED_API_URL", "fragment"},
		{"API in clear", []string{"ETRUSTED_API_URL=http://CANARY"}, "ETRUSTED_API_URL", "in clear"},
		{"API in clear at an address", []string{"ETRUSTED_API_URL=http://192.0.2.1"}, "ETRUSTED_API_URL", "in clear"},
		{"API in clear at a loopback look-alike", []string{"ETRUSTED_API_URL=http://localhost.CANARY"}, "ETRUSTED_API_URL", "in clear"},
		{"API in clear at a numeric look-alike", []string{"ETRUSTED_API_URL=http://127.0.0.1.CANARY"}, "ETRUSTED_API_URL", "in clear"},
		{"API in clear everywhere", []string{"ETRUSTED_API_URL=http://0.0.0.0:80"}, "ETRUSTED_API_URL", "in clear"},

		{"token URL is none", []string{"ETRUSTED_TOKEN_URL=CANARY"}, "ETRUSTED_TOKEN_URL", "https://"},
		{"token URL with password", []string{"ETRUSTED_TOKEN_URL=https://CANARY1:CANARY2@host/oauth/token"}, "ETRUSTED_TOKEN_URL", "user name or password"},
		{"token URL with query", []string{"ETRUSTED_TOKEN_URL=https://host/oauth/token?client_secret=CANARY"}, "ETRUSTED_TOKEN_URL", "query"},
		{"token URL in clear", []string{"ETRUSTED_TOKEN_URL=http://CANARY/oauth/token"}, "ETRUSTED_TOKEN_URL", "in clear"},

		{"listens nowhere", []string{"BROKER_LISTEN=CANARY"}, "BROKER_LISTEN", "HOST:PORT"},
		{"listens without port", []string{"BROKER_LISTEN=127.0.0.1:"}, "BROKER_LISTEN", "HOST:PORT"},
		{"listens at IPv6 without brackets", []string{"BROKER_LISTEN=::1:8080"}, "BROKER_LISTEN", "HOST:PORT"},
		{"listens everywhere by leaving it out", []string{"BROKER_LISTEN=:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens everywhere", []string{"BROKER_LISTEN=0.0.0.0:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens everywhere, IPv6", []string{"BROKER_LISTEN=[::]:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens everywhere, mapped", []string{"BROKER_LISTEN=[::ffff:0.0.0.0]:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens at a name", []string{"BROKER_LISTEN=CANARY:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens at an address", []string{"BROKER_LISTEN=192.0.2.1:8080", "BROKER_UNSAFE_LISTEN=false"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"nothing that is unsafe can be listened to", []string{"BROKER_LISTEN=CANARY", "BROKER_UNSAFE_LISTEN=true"}, "BROKER_LISTEN", "HOST:PORT"},
		{"admin listens nowhere", []string{"BROKER_ADMIN_LISTEN=CANARY"}, "BROKER_ADMIN_LISTEN", "HOST:PORT"},
		{"admin listens without port", []string{"BROKER_ADMIN_LISTEN=127.0.0.1:"}, "BROKER_ADMIN_LISTEN", "HOST:PORT"},

		{"unsafe is no bool", []string{"BROKER_UNSAFE_LISTEN=CANARY"}, "BROKER_UNSAFE_LISTEN", "true or false"},
		{"listens at a socket with two slashes", []string{"BROKER_LISTEN=unix://CANARY/broker.sock"}, "BROKER_LISTEN", "three slashes"},
		{"listens at a socket without a path", []string{"BROKER_LISTEN=unix:CANARY"}, "BROKER_LISTEN", "or unix:///path"},
		{"admin listens at a socket", []string{"BROKER_ADMIN_LISTEN=unix:///CANARY"}, "BROKER_ADMIN_LISTEN", "HOST:PORT"},

		{"both keys", []string{"BROKER_ACCESS_KEY=CANARY", "BROKER_ACCESS_KEY_FILE=/CANARY"}, "BROKER_ACCESS_KEY", "both BROKER_ACCESS_KEY and BROKER_ACCESS_KEY_FILE are set"},
		{"key of blanks", []string{"BROKER_ACCESS_KEY=   "}, "BROKER_ACCESS_KEY", "is empty"},
		{"key with a blank before it", []string{"BROKER_ACCESS_KEY= CANARY"}, "BROKER_ACCESS_KEY", "blank"},
		{"key with a control character", []string{"BROKER_ACCESS_KEY=CANARY\x01"}, "BROKER_ACCESS_KEY", "control characters"},
		{"key file is no path", []string{"BROKER_ACCESS_KEY_FILE=CANARY"}, "BROKER_ACCESS_KEY_FILE", "must be the path"},
		{"key file is not there", []string{"BROKER_ACCESS_KEY_FILE=/CANARY"}, "BROKER_ACCESS_KEY_FILE", "no such file"},
		{"key file is a directory", []string{"BROKER_ACCESS_KEY_FILE=/"}, "BROKER_ACCESS_KEY_FILE", "directory"},

		{"TLS key without certificate", []string{"BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "is not set"},
		{"TLS authorities alone", []string{"BROKER_TLS_CLIENT_CA_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "is not set"},
		{"TLS certificate without key", []string{"BROKER_TLS_CERT_FILE=/CANARY"}, "BROKER_TLS_KEY_FILE", "is not set"},
		{"TLS certificate is not there", []string{"BROKER_TLS_CERT_FILE=/CANARY", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "no such file"},
		{"TLS certificate is a folder", []string{"BROKER_TLS_CERT_FILE=/", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "must be a file"},
		{"TLS certificate is too large", []string{"BROKER_TLS_CERT_FILE=/dev/zero", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "too large"},
		{"TLS key is not there", []string{"BROKER_TLS_CERT_FILE=/dev/null", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_KEY_FILE", "no such file"},
		{"TLS authorities are not there", []string{"BROKER_TLS_CERT_FILE=/dev/null", "BROKER_TLS_KEY_FILE=/dev/null", "BROKER_TLS_CLIENT_CA_FILE=/CANARY"}, "BROKER_TLS_CLIENT_CA_FILE", "no such file"},
		{"TLS certificate is none", []string{"BROKER_TLS_CERT_FILE=/dev/null", "BROKER_TLS_KEY_FILE=/dev/null"}, "BROKER_TLS_CERT_FILE", "not a PEM certificate"},

		{"links is no bool", []string{"BROKER_REWRITE_LINKS=CANARY"}, "BROKER_REWRITE_LINKS", "true or false"},
		{"token endpoint is no bool", []string{"BROKER_TOKEN_ENDPOINT=CANARY"}, "BROKER_TOKEN_ENDPOINT", "true or false"},
		{"its own proxy", []string{"BROKER_LISTEN=localhost:8080", "HTTPS_PROXY=http://x:CANARY@127.0.0.1:8080"}, "HTTPS_PROXY", "the broker itself"},
		{"its own proxy, in short", []string{"BROKER_LISTEN=127.0.0.1:8080", "HTTPS_PROXY=localhost:8080"}, "HTTPS_PROXY", "the broker itself"},
		{"its own proxy, everywhere", []string{"BROKER_LISTEN=127.0.0.1:8080", "https_proxy=http://0.0.0.0:8080"}, "HTTPS_PROXY", "the broker itself"},
		{"authority is nowhere", []string{"BROKER_INTERCEPT_CA_DIR=/CANARY"}, "BROKER_INTERCEPT_CA_DIR", "no such folder"},
		{"authority is a file", []string{"BROKER_INTERCEPT_CA_DIR=/dev/null"}, "BROKER_INTERCEPT_CA_DIR", "must be a folder"},

		{"pattern has no path", []string{"BROKER_ALLOW=GET /a,CANARY"}, "BROKER_ALLOW", "the pattern 2 of 2 has no path"},
		{"pattern has a host", []string{"BROKER_ALLOW=GET reviews/"}, "BROKER_ALLOW", `the pattern "GET reviews/" has no path`},
		{"pattern cannot be parsed", []string{"BROKER_ALLOW=GET /{id"}, "BROKER_ALLOW", `the pattern "GET /{id" cannot be parsed`},
		{"patterns conflict", []string{"BROKER_ALLOW=GET /a/{x}, GET /{y}/b"}, "BROKER_ALLOW", `the patterns "GET /a/{x}" and "GET /{y}/b" conflict`},

		{"store is no URL", []string{"BROKER_TOKEN_STORE=CANARY"}, "BROKER_TOKEN_STORE", "redis://"},
		{"store of another kind", []string{"BROKER_TOKEN_STORE=memcached://CANARY"}, "BROKER_TOKEN_STORE", "redis://"},
		{"store's password cannot be read", []string{"BROKER_TOKEN_STORE=redis://:CANARY%zz@localhost"}, "BROKER_TOKEN_STORE", "percent-encoded"},
		{"store's password has a #", []string{"BROKER_TOKEN_STORE=redis://:CAN#CANARY@localhost"}, "BROKER_TOKEN_STORE", ""},
		{"store's certificate is not looked at", []string{"BROKER_TOKEN_STORE=rediss://:CANARY@localhost?skip_verify=true"}, "BROKER_TOKEN_STORE", "parameter other than"},
		{"two stores", []string{"BROKER_TOKEN_STORE=redis://localhost", "BROKER_TOKEN_STORE_FILE=/CANARY"}, "BROKER_TOKEN_STORE", "both"},
		{"store's file is nowhere", []string{"BROKER_TOKEN_STORE_FILE=/CANARY"}, "BROKER_TOKEN_STORE_FILE", "no such file"},

		{"hosts are all", []string{"BROKER_ALLOWED_HOSTS=CANARY,*"}, "BROKER_ALLOWED_HOSTS", "wildcards"},
		{"hosts hold a URL", []string{"BROKER_ALLOWED_HOSTS=https://CANARY"}, "BROKER_ALLOWED_HOSTS", "without scheme"},
		{"hosts hold an empty one", []string{"BROKER_ALLOWED_HOSTS=CANARY,,b"}, "BROKER_ALLOWED_HOSTS", "host names"},

		{"wait is no duration", []string{"BROKER_TOKEN_WAIT=CANARY"}, "BROKER_TOKEN_WAIT", "duration such as 10s"},
		{"wait has no unit", []string{"BROKER_TOKEN_WAIT=10"}, "BROKER_TOKEN_WAIT", "duration such as 10s"},
		{"wait is negative", []string{"BROKER_TOKEN_WAIT=-1s"}, "BROKER_TOKEN_WAIT", "negative"},
		{"time-out is no duration", []string{"BROKER_UPSTREAM_TIMEOUT=CANARY"}, "BROKER_UPSTREAM_TIMEOUT", "duration such as 10s"},
		{"time-out is nothing", []string{"BROKER_UPSTREAM_TIMEOUT=0s"}, "BROKER_UPSTREAM_TIMEOUT", "more than nothing"},
		{"time-out is negative", []string{"BROKER_UPSTREAM_TIMEOUT=-1s"}, "BROKER_UPSTREAM_TIMEOUT", "more than nothing"},
		{"grace is no duration", []string{"BROKER_SHUTDOWN_GRACE=CANARY"}, "BROKER_SHUTDOWN_GRACE", "duration such as 10s"},
		{"grace is negative", []string{"BROKER_SHUTDOWN_GRACE=-1ns"}, "BROKER_SHUTDOWN_GRACE", "negative"},
		{"replay is no bool", []string{"BROKER_REPLAY_401=CANARY"}, "BROKER_REPLAY_401", "true or false"},
		{"buffer is no number", []string{"BROKER_REPLAY_BUFFER=64CANARY"}, "BROKER_REPLAY_BUFFER", "whole number"},
		{"buffer is negative", []string{"BROKER_REPLAY_BUFFER=-1"}, "BROKER_REPLAY_BUFFER", "from 0 to"},
		{"buffer is all memory", []string{"BROKER_REPLAY_BUFFER=99999999999"}, "BROKER_REPLAY_BUFFER", "from 0 to"},
		{"accounts are nowhere", []string{"ETRUSTED_ACCOUNTS_DIR=/CANARY/accounts"}, "ETRUSTED_ACCOUNTS_DIR", "no such folder"},
		{"accounts are a file", []string{"ETRUSTED_ACCOUNTS_DIR=/dev/null"}, "ETRUSTED_ACCOUNTS_DIR", "must be a folder"},
		{"accounts, and half a default", []string{"ETRUSTED_ACCOUNTS_DIR=/", "ETRUSTED_CLIENT_ID="}, "ETRUSTED_CLIENT_ID", "is not set"},
		{"level is above error", []string{"BROKER_LOG_LEVEL=fatal"}, "BROKER_LOG_LEVEL", "debug, info, warn or error"},
		{"level is none", []string{"BROKER_LOG_LEVEL=CANARY"}, "BROKER_LOG_LEVEL", "debug, info, warn or error"},
		{"format is none", []string{"BROKER_LOG_FORMAT=CANARY"}, "BROKER_LOG_FORMAT", "json or console"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers(test.environ...)...)
			if code != exitConfig {
				t.Errorf("exit code %d, want %d", code, exitConfig)
			}
			// An unparsable value may be wrong in more than one way, but no other variable may be blamed.
			if names := slices.Compact(problemsIn(stderr)); !slices.Equal(names, []string{test.variable}) {
				t.Errorf("blames %v, want %s alone", names, test.variable)
			}
			if !strings.Contains(stderr, test.says) {
				t.Errorf("does not say %q:\n%s", test.says, stderr)
			}
			if strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("shows a value:\n%s%s", stdout, stderr)
			}
		})
	}
}

func TestReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	// A canary for each variable, in a form that it refuses where it refuses anything. The two are not a file's name.
	environ := []string{
		"ETRUSTED_CLIENT_ID=CANARY-id", "ETRUSTED_CLIENT_ID_FILE=CANARY-id-file",
		"ETRUSTED_CLIENT_SECRET=CANARY-secret", "ETRUSTED_CLIENT_SECRET_FILE=CANARY-secret-file",
		"ETRUSTED_API_URL=https://CANARY-user:CANARY-password@host/", "ETRUSTED_TOKEN_URL=CANARY-url",
		"ETRUSTED_AUDIENCE=CANARY-audience", "ETRUSTED_SCOPES=CANARY-scope",
		"BROKER_LISTEN=CANARY-listen", "BROKER_ADMIN_LISTEN=CANARY-admin", "BROKER_UNSAFE_LISTEN=CANARY-unsafe",
		"BROKER_ALLOWED_HOSTS=CANARY-host,*", "BROKER_TOKEN_WAIT=CANARY-wait", "BROKER_UPSTREAM_TIMEOUT=CANARY-timeout",
		"BROKER_SHUTDOWN_GRACE=CANARY-grace", "BROKER_LOG_LEVEL=CANARY-level", "BROKER_LOG_FORMAT=CANARY-format",
		"BROKER_UNKNOWN=CANARY-unknown", "ETRUSTED_ACCOUNTS_DIR=CANARY-folder",
		"BROKER_REPLAY_401=CANARY-replay", "BROKER_REPLAY_BUFFER=CANARY-buffer",
		"BROKER_ALLOW=CANARY-pattern", "BROKER_ACCESS_KEY=CANARY-key", "BROKER_ACCESS_KEY_FILE=CANARY-key-file",
		"BROKER_TLS_CERT_FILE=CANARY-cert-file", "BROKER_TLS_KEY_FILE=CANARY-tls-key-file", "BROKER_TLS_CLIENT_CA_FILE=CANARY-ca-file",
		"BROKER_REWRITE_LINKS=CANARY-links", "BROKER_TOKEN_ENDPOINT=CANARY-token-endpoint", "BROKER_INTERCEPT_CA_DIR=CANARY-ca-folder",
		"BROKER_TOKEN_STORE=CANARY-store", "BROKER_TOKEN_STORE_FILE=CANARY-store-file",
		"BROKER_ACCESS_LOG=CANARY-access-log", "BROKER_PPROF=CANARY-profiles",
	}
	// Of two that belong together, the first is blamed.
	unproblematic := []string{
		"ETRUSTED_CLIENT_ID_FILE", "ETRUSTED_CLIENT_SECRET_FILE", "ETRUSTED_AUDIENCE", "ETRUSTED_SCOPES",
		"BROKER_ACCESS_KEY_FILE", "BROKER_TLS_KEY_FILE", "BROKER_TLS_CLIENT_CA_FILE", "BROKER_TOKEN_STORE_FILE",
	}
	for _, args := range [][]string{nil, {"serve"}} {
		code, stdout, stderr := invoke(args, environ...)
		if code != exitConfig {
			t.Errorf("%v: exit code %d, want %d", args, code, exitConfig)
		}
		if strings.Contains(stdout+stderr, "CANARY") {
			t.Errorf("%v: shows a value:\n%s%s", args, stdout, stderr)
		}
		named := problemsIn(stderr)
		for _, v := range config.Variables() {
			if _, isSet := config.Environment(environ)[v.Name]; !isSet {
				t.Errorf("%s is not in this test", v.Name)
			}
			if slices.Contains(named, v.Name) == slices.Contains(unproblematic, v.Name) {
				t.Errorf("%v: %s named: %v\n%s", args, v.Name, slices.Contains(named, v.Name), stderr)
			}
		}
	}
}

func TestAcceptsValidConfigurations(t *testing.T) {
	t.Parallel()
	tests := [][]string{
		nil,
		{"ETRUSTED_API_URL=", "ETRUSTED_TOKEN_URL=", "ETRUSTED_AUDIENCE=", "BROKER_TOKEN_WAIT="}, // empty is unset
		{"ETRUSTED_API_URL=https://api.example/", "ETRUSTED_TOKEN_URL=https://login.example/a/b/c"},
		{"ETRUSTED_API_URL=https://api.example:8443"},
		{"ETRUSTED_API_URL=http://localhost:1"},
		{"ETRUSTED_API_URL=http://LocalHost:1"},
		{"ETRUSTED_API_URL=http://127.9.9.9"},
		{"ETRUSTED_API_URL=http://[::1]:1"},
		{"ETRUSTED_API_URL=http://[::ffff:127.0.0.1]:1"},
		{"BROKER_LISTEN=localhost:8080"},
		{"BROKER_LISTEN=[::1]:8080"},
		{"BROKER_LISTEN=127.0.0.2:8080"},
		{"BROKER_LISTEN=:8080", "BROKER_UNSAFE_LISTEN=true"},
		{"BROKER_LISTEN=0.0.0.0:8080", "BROKER_UNSAFE_LISTEN=1"},
		{"BROKER_LISTEN=[::]:8080", "BROKER_UNSAFE_LISTEN=true"},
		{"BROKER_LISTEN=192.0.2.1:8080", "BROKER_UNSAFE_LISTEN=true"},
		{"BROKER_LISTEN=0.0.0.0:8080", "BROKER_ACCESS_KEY=key"},
		{"BROKER_LISTEN=unix:///run/broker.sock"},
		{"BROKER_ALLOW=READ-ONLY, POST /invites,GET /reviews/{id}/{rest...}"},
		{"HTTPS_PROXY=http://127.0.0.1:3128"},
		{"HTTPS_PROXY=http://proxy.example:8080", "BROKER_LISTEN=127.0.0.1:8080"},
		{"BROKER_ADMIN_LISTEN="},
		{"BROKER_ADMIN_LISTEN=:9464"}, // scraped from elsewhere: it shows no secret
		{"BROKER_ALLOWED_HOSTS=a.example, b.example:8080,[::2]"},
		{"BROKER_TOKEN_WAIT=0s", "BROKER_SHUTDOWN_GRACE=0s"},
		{"BROKER_LOG_LEVEL=debug", "BROKER_LOG_FORMAT=console"},
	}
	for _, environ := range tests {
		if _, problems := config.Load(brokertest.EnvironWithoutServers(environ...)); len(problems) > 0 {
			t.Errorf("%v: %v", environ, problems)
		}
	}
}

func TestLoadsConfiguredValues(t *testing.T) {
	t.Parallel()
	c, problems := config.Load(brokertest.EnvironWithoutServers("ETRUSTED_SCOPES= a  b ", "BROKER_TOKEN_WAIT=1m30s", "BROKER_ADMIN_LISTEN=",
		"ETRUSTED_API_URL=https://api.example/"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if !slices.Equal(c.Scopes, []string{"a", "b"}) {
		t.Errorf("scopes %q", c.Scopes)
	}
	if c.TokenWait != 90*time.Second || c.AdminListen != "" {
		t.Errorf("token wait %v, admin %q", c.TokenWait, c.AdminListen)
	}
	if c.API.Host != "api.example" || c.Audience != "https://api.etrusted.com" {
		t.Errorf("upstream %v, audience %q", c.API, c.Audience)
	}
}

func TestReadsSecretFiles(t *testing.T) {
	t.Parallel()
	const secret = "CANARY-3f9d0a"
	tests := []struct {
		name, content string
		problem       string // empty: it is accepted
	}{
		{"plain", secret, ""},
		{"LF", secret + "\n", ""},
		{"CRLF", secret + "\r\n", ""},
		{"BOM", "\xef\xbb\xbf" + secret, ""},
		{"BOM and CRLF", "\xef\xbb\xbf" + secret + "\r\n\r\n", ""},
		{"empty", "", "is empty"},
		{"blank", " \r\n", "is empty"},
		{"BOM alone", "\xef\xbb\xbf\n", "is empty"},
		{"two lines", secret + "\n" + secret, "more than one line"},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split(secret, ""), "\x00") + "\x00", "not UTF-8"},
		{"too large", strings.Repeat(secret, 4096/len(secret)+1), "larger than 4096 bytes"},
		{"binary", secret + "\x01", "control characters"},
	}
	for _, test := range tests {
		for _, variable := range []string{"ETRUSTED_CLIENT_ID", "ETRUSTED_CLIENT_SECRET"} {
			t.Run(test.name+"/"+variable, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
				environ := brokertest.EnvironWithoutServers(variable+"=", variable+"_FILE="+path)
				if test.problem == "" {
					c, problems := config.Load(environ)
					if len(problems) > 0 {
						t.Fatal(problems)
					}
					got := c.ClientID
					if variable == "ETRUSTED_CLIENT_SECRET" {
						got = c.ClientSecret
					}
					if got.Reveal() != secret {
						t.Errorf("read as %q", got.Reveal())
					}
					return
				}
				checkFileProblem(t, environ, variable, path, test.problem)
			})
		}
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "file")
		environ := brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+path)
		checkFileProblem(t, environ, "ETRUSTED_CLIENT_SECRET", "", "there is no such file") // which, is not repeated
	})
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		path := t.TempDir()
		environ := brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_ID_FILE="+path)
		checkFileProblem(t, environ, "ETRUSTED_CLIENT_ID", path, "use the path of a file in it")
	})
}

func checkFileProblem(t *testing.T, environ []string, variable, path, problem string) {
	t.Helper()
	code, stdout, stderr := invoke(nil, environ...)
	if names := problemsIn(stderr); code != exitConfig || !slices.Equal(names, []string{variable + "_FILE"}) {
		t.Errorf("exit code %d, blames %v", code, names)
	}
	for _, part := range []string{variable + "_FILE", path, problem} {
		if !strings.Contains(stderr, part) {
			t.Errorf("does not say %q:\n%s", part, stderr)
		}
	}
	if strings.Contains(stdout+stderr, "CANARY") {
		t.Errorf("shows what is in the file:\n%s", stderr)
	}
}
