package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// problemsIn returns the variables that the output names, one per problem.
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

// Each problem names the right variable and what to do, and hides the value. Values that must be hidden contain CANARY.
func TestReportsInvalidVariableWithoutItsValue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, large, keyWithSpace := filepath.Join(dir, "empty"), filepath.Join(dir, "large"), filepath.Join(dir, "key")
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(large, make([]byte, 1<<20+1), 0o600), os.WriteFile(keyWithSpace, []byte("CANARY \n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		environ  []string
		variable string
		says     string
	}{
		{"no id", []string{"ETRUSTED_CLIENT_ID="}, "ETRUSTED_CLIENT_ID", "is not set: set it, or ETRUSTED_CLIENT_ID_FILE"},
		{"no secret", []string{"ETRUSTED_CLIENT_SECRET="}, "ETRUSTED_CLIENT_SECRET", "is not set: set it, or ETRUSTED_CLIENT_SECRET_FILE"},
		{"id and id file", []string{"ETRUSTED_CLIENT_ID=CANARY1", "ETRUSTED_CLIENT_ID_FILE=/CANARY2"}, "ETRUSTED_CLIENT_ID", "both ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_ID_FILE are set"},
		{"secret and secret file", []string{"ETRUSTED_CLIENT_SECRET=CANARY1", "ETRUSTED_CLIENT_SECRET_FILE=/CANARY2"}, "ETRUSTED_CLIENT_SECRET", "both ETRUSTED_CLIENT_SECRET and ETRUSTED_CLIENT_SECRET_FILE are set"},

		{"API is no URL", []string{"ETRUSTED_API_URL=CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API without scheme", []string{"ETRUSTED_API_URL=api.canary.CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API with another scheme", []string{"ETRUSTED_API_URL=ftp://CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API without host", []string{"ETRUSTED_API_URL=https:///CANARY"}, "ETRUSTED_API_URL", "https://"},
		{"API that cannot be parsed", []string{"ETRUSTED_API_URL=https://x:CANARY%zz@host"}, "ETRUSTED_API_URL", "https://"},
		{"API with a control character", []string{"ETRUSTED_API_URL=https://CANARY\n"}, "ETRUSTED_API_URL", "https://"},
		{"API with password", []string{"ETRUSTED_API_URL=https://CANARY1:CANARY2@host"}, "ETRUSTED_API_URL", "user name or password"},
		{"API with user", []string{"ETRUSTED_API_URL=https://CANARY@host"}, "ETRUSTED_API_URL", "user name or password"},
		{"API with path", []string{"ETRUSTED_API_URL=https://host/CANARY"}, "ETRUSTED_API_URL", "scheme and host only"},
		{"API with two slashes", []string{"ETRUSTED_API_URL=https://host//"}, "ETRUSTED_API_URL", "scheme and host only"},
		{"API with query", []string{"ETRUSTED_API_URL=https://host?CANARY"}, "ETRUSTED_API_URL", "query"},
		{"API with empty query", []string{"ETRUSTED_API_URL=https://host?"}, "ETRUSTED_API_URL", "query"},
		{"API with fragment", []string{"ETRUSTED_API_URL=https://host#CANARY"}, "ETRUSTED_API_URL", "fragment"},
		{"API in clear", []string{"ETRUSTED_API_URL=http://CANARY"}, "ETRUSTED_API_URL", "unencrypted"},
		{"API in clear at an address", []string{"ETRUSTED_API_URL=http://192.0.2.1"}, "ETRUSTED_API_URL", "unencrypted"},
		{"API in clear at a loopback look-alike", []string{"ETRUSTED_API_URL=http://localhost.CANARY"}, "ETRUSTED_API_URL", "unencrypted"},
		{"API in clear at a numeric look-alike", []string{"ETRUSTED_API_URL=http://127.0.0.1.CANARY"}, "ETRUSTED_API_URL", "unencrypted"},
		{"API in clear at the unspecified address", []string{"ETRUSTED_API_URL=http://0.0.0.0:80"}, "ETRUSTED_API_URL", "unencrypted"},

		{"token URL is no URL", []string{"ETRUSTED_TOKEN_URL=CANARY"}, "ETRUSTED_TOKEN_URL", "https://"},
		{"token URL with password", []string{"ETRUSTED_TOKEN_URL=https://CANARY1:CANARY2@host/oauth/token"}, "ETRUSTED_TOKEN_URL", "user name or password"},
		{"token URL with query", []string{"ETRUSTED_TOKEN_URL=https://host/oauth/token?client_secret=CANARY"}, "ETRUSTED_TOKEN_URL", "query"},
		{"token URL in clear", []string{"ETRUSTED_TOKEN_URL=http://CANARY/oauth/token"}, "ETRUSTED_TOKEN_URL", "unencrypted"},

		{"listen address without port", []string{"BROKER_LISTEN=CANARY"}, "BROKER_LISTEN", "HOST:PORT"},
		{"listen address with empty port", []string{"BROKER_LISTEN=127.0.0.1:"}, "BROKER_LISTEN", "HOST:PORT"},
		{"listens on IPv6 without brackets", []string{"BROKER_LISTEN=::1:8080"}, "BROKER_LISTEN", "HOST:PORT"},
		{"listens on all addresses, host left out", []string{"BROKER_LISTEN=:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens on all addresses", []string{"BROKER_LISTEN=0.0.0.0:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens on all addresses, IPv6", []string{"BROKER_LISTEN=[::]:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens on all addresses, IPv4-mapped", []string{"BROKER_LISTEN=[::ffff:0.0.0.0]:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens on a name", []string{"BROKER_LISTEN=CANARY:8080"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"listens on an address", []string{"BROKER_LISTEN=192.0.2.1:8080", "BROKER_UNSAFE_LISTEN=false"}, "BROKER_LISTEN", "BROKER_UNSAFE_LISTEN=true"},
		{"unsafe listen address without port", []string{"BROKER_LISTEN=CANARY", "BROKER_UNSAFE_LISTEN=true"}, "BROKER_LISTEN", "HOST:PORT"},
		{"admin listen address without port", []string{"BROKER_ADMIN_LISTEN=CANARY"}, "BROKER_ADMIN_LISTEN", "HOST:PORT"},
		{"admin listen address with empty port", []string{"BROKER_ADMIN_LISTEN=127.0.0.1:"}, "BROKER_ADMIN_LISTEN", "HOST:PORT"},

		{"unsafe is no boolean", []string{"BROKER_UNSAFE_LISTEN=CANARY"}, "BROKER_UNSAFE_LISTEN", "true or false"},
		{"listens on a socket with two slashes", []string{"BROKER_LISTEN=unix://CANARY/broker.sock"}, "BROKER_LISTEN", "three slashes"},
		{"listens on a socket without a path", []string{"BROKER_LISTEN=unix:CANARY"}, "BROKER_LISTEN", "or unix:///path"},
		{"admin listens on a socket", []string{"BROKER_ADMIN_LISTEN=unix:///CANARY"}, "BROKER_ADMIN_LISTEN", "HOST:PORT"},

		{"key and key file", []string{"BROKER_ACCESS_KEY=CANARY", "BROKER_ACCESS_KEY_FILE=/CANARY"}, "BROKER_ACCESS_KEY", "both BROKER_ACCESS_KEY and BROKER_ACCESS_KEY_FILE are set"},
		{"key of spaces", []string{"BROKER_ACCESS_KEY=   "}, "BROKER_ACCESS_KEY", "is empty"},
		{"key with a leading space", []string{"BROKER_ACCESS_KEY= CANARY"}, "BROKER_ACCESS_KEY", "space"},
		{"key with a control character", []string{"BROKER_ACCESS_KEY=CANARY\x01"}, "BROKER_ACCESS_KEY", "control characters"},
		{"key file is no path", []string{"BROKER_ACCESS_KEY_FILE=CANARY"}, "BROKER_ACCESS_KEY_FILE", "must be a path"},
		{"missing key file", []string{"BROKER_ACCESS_KEY_FILE=/CANARY"}, "BROKER_ACCESS_KEY_FILE", "file not found"},
		{"key file with a trailing space", []string{"BROKER_ACCESS_KEY_FILE=" + keyWithSpace}, "BROKER_ACCESS_KEY_FILE", "space"},
		{"key file is a directory", []string{"BROKER_ACCESS_KEY_FILE=/"}, "BROKER_ACCESS_KEY_FILE", "directory"},

		{"TLS key without certificate", []string{"BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "is not set"},
		{"client CAs without certificate", []string{"BROKER_TLS_CLIENT_CA_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "is not set"},
		{"TLS certificate without key", []string{"BROKER_TLS_CERT_FILE=/CANARY"}, "BROKER_TLS_KEY_FILE", "is not set"},
		{"missing TLS certificate", []string{"BROKER_TLS_CERT_FILE=/CANARY", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "file not found"},
		{"TLS certificate is a directory", []string{"BROKER_TLS_CERT_FILE=/", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "must be a file"},
		{"TLS certificate is too large", []string{"BROKER_TLS_CERT_FILE=" + large, "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "too large"},
		{"TLS certificate is a device", []string{"BROKER_TLS_CERT_FILE=/dev/zero", "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_CERT_FILE", "must be a file"},
		{"a secret that could be a path, but none that exists", []string{"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE=/" + strings.Repeat("CANARY", 60)}, "ETRUSTED_CLIENT_SECRET_FILE", "cannot be read"},
		{"missing TLS key", []string{"BROKER_TLS_CERT_FILE=" + empty, "BROKER_TLS_KEY_FILE=/CANARY"}, "BROKER_TLS_KEY_FILE", "file not found"},
		{"missing client CAs", []string{"BROKER_TLS_CERT_FILE=" + empty, "BROKER_TLS_KEY_FILE=" + empty, "BROKER_TLS_CLIENT_CA_FILE=/CANARY"}, "BROKER_TLS_CLIENT_CA_FILE", "file not found"},
		{"TLS certificate is empty", []string{"BROKER_TLS_CERT_FILE=" + empty, "BROKER_TLS_KEY_FILE=" + empty}, "BROKER_TLS_CERT_FILE", "not a PEM certificate"},

		{"links is no boolean", []string{"BROKER_REWRITE_LINKS=CANARY"}, "BROKER_REWRITE_LINKS", "true or false"},
		{"token endpoint is no boolean", []string{"BROKER_TOKEN_ENDPOINT=CANARY"}, "BROKER_TOKEN_ENDPOINT", "true or false"},
		{"its own proxy", []string{"BROKER_LISTEN=localhost:8080", "HTTPS_PROXY=http://x:CANARY@127.0.0.1:8080"}, "HTTPS_PROXY", "the broker itself"},
		{"its own proxy, without scheme", []string{"BROKER_LISTEN=127.0.0.1:8080", "HTTPS_PROXY=localhost:8080"}, "HTTPS_PROXY", "the broker itself"},
		{"its own proxy, unspecified address", []string{"BROKER_LISTEN=127.0.0.1:8080", "https_proxy=http://0.0.0.0:8080"}, "HTTPS_PROXY", "the broker itself"},
		{"missing CA directory", []string{"BROKER_INTERCEPT_CA_DIR=/CANARY"}, "BROKER_INTERCEPT_CA_DIR", "directory not found"},
		{"CA directory is a file", []string{"BROKER_INTERCEPT_CA_DIR=/dev/null"}, "BROKER_INTERCEPT_CA_DIR", "must be a directory"},

		{"pattern has no path", []string{"BROKER_ALLOW=GET /a,CANARY"}, "BROKER_ALLOW", "the pattern 2 of 2 has no path"},
		{"pattern has a host", []string{"BROKER_ALLOW=GET reviews/"}, "BROKER_ALLOW", `the pattern "GET reviews/" has no path`},
		{"pattern cannot be parsed", []string{"BROKER_ALLOW=GET /{id"}, "BROKER_ALLOW", `the pattern "GET /{id" cannot be parsed`},
		{"patterns conflict", []string{"BROKER_ALLOW=GET /a/{x}, GET /{y}/b"}, "BROKER_ALLOW", `the patterns "GET /a/{x}" and "GET /{y}/b" conflict`},

		{"store is no URL", []string{"BROKER_TOKEN_STORE=CANARY"}, "BROKER_TOKEN_STORE", "redis://"},
		{"store of another kind", []string{"BROKER_TOKEN_STORE=memcached://CANARY"}, "BROKER_TOKEN_STORE", "redis://"},
		{"store's password cannot be read", []string{"BROKER_TOKEN_STORE=redis://:CANARY%zz@localhost"}, "BROKER_TOKEN_STORE", "percent-encode"},
		{"store's password has a #", []string{"BROKER_TOKEN_STORE=redis://:CAN#CANARY@localhost"}, "BROKER_TOKEN_STORE", ""},
		{"store without certificate check", []string{"BROKER_TOKEN_STORE=rediss://:CANARY@localhost?skip_verify=true"}, "BROKER_TOKEN_STORE", "may have the parameters"},
		{"store and store file", []string{"BROKER_TOKEN_STORE=redis://localhost", "BROKER_TOKEN_STORE_FILE=/CANARY"}, "BROKER_TOKEN_STORE", "both"},
		{"missing store file", []string{"BROKER_TOKEN_STORE_FILE=/CANARY"}, "BROKER_TOKEN_STORE_FILE", "file not found"},

		{"allow mode", []string{"BROKER_ALLOW_MODE=CANARY"}, "BROKER_ALLOW_MODE", "must be enforce or warn"},
		{"wildcard host", []string{"BROKER_ALLOWED_HOSTS=CANARY,*"}, "BROKER_ALLOWED_HOSTS", "wildcards"},
		{"URL as a host", []string{"BROKER_ALLOWED_HOSTS=https://CANARY"}, "BROKER_ALLOWED_HOSTS", "without scheme"},
		{"empty host", []string{"BROKER_ALLOWED_HOSTS=CANARY,,b"}, "BROKER_ALLOWED_HOSTS", "host names"},

		{"URL among the hosts that pass", []string{"BROKER_PASS_HOSTS=a.example,https://CANARY"}, "BROKER_PASS_HOSTS", "without a scheme"},
		{"wildcard within a host that passes", []string{"BROKER_PASS_HOSTS=CANARY.*.example"}, "BROKER_PASS_HOSTS", "*.example.com"},
		{"number that could be an address among the hosts that pass", []string{"BROKER_PASS_HOSTS=127.1"}, "BROKER_PASS_HOSTS", "must be hosts"},

		{"wait is no duration", []string{"BROKER_TOKEN_WAIT=CANARY"}, "BROKER_TOKEN_WAIT", "duration such as 10s"},
		{"wait has no unit", []string{"BROKER_TOKEN_WAIT=10"}, "BROKER_TOKEN_WAIT", "duration such as 10s"},
		{"wait is negative", []string{"BROKER_TOKEN_WAIT=-1s"}, "BROKER_TOKEN_WAIT", "negative"},
		{"timeout is no duration", []string{"BROKER_UPSTREAM_TIMEOUT=CANARY"}, "BROKER_UPSTREAM_TIMEOUT", "duration such as 10s"},
		{"timeout is zero", []string{"BROKER_UPSTREAM_TIMEOUT=0s"}, "BROKER_UPSTREAM_TIMEOUT", "greater than zero"},
		{"timeout is negative", []string{"BROKER_UPSTREAM_TIMEOUT=-1s"}, "BROKER_UPSTREAM_TIMEOUT", "greater than zero"},
		{"grace is no duration", []string{"BROKER_SHUTDOWN_GRACE=CANARY"}, "BROKER_SHUTDOWN_GRACE", "duration such as 10s"},
		{"grace is negative", []string{"BROKER_SHUTDOWN_GRACE=-1ns"}, "BROKER_SHUTDOWN_GRACE", "negative"},
		{"replay is no boolean", []string{"BROKER_REPLAY_401=CANARY"}, "BROKER_REPLAY_401", "true or false"},
		{"buffer is no number", []string{"BROKER_REPLAY_BUFFER=64CANARY"}, "BROKER_REPLAY_BUFFER", "whole number"},
		{"buffer is negative", []string{"BROKER_REPLAY_BUFFER=-1"}, "BROKER_REPLAY_BUFFER", "from 0 to"},
		{"buffer is too large", []string{"BROKER_REPLAY_BUFFER=99999999999"}, "BROKER_REPLAY_BUFFER", "from 0 to"},
		{"missing accounts directory", []string{"ETRUSTED_ACCOUNTS_DIR=/CANARY/accounts"}, "ETRUSTED_ACCOUNTS_DIR", "directory not found"},
		{"accounts directory is a file", []string{"ETRUSTED_ACCOUNTS_DIR=/dev/null"}, "ETRUSTED_ACCOUNTS_DIR", "must be a directory"},
		{"accounts and half of the default credentials", []string{"ETRUSTED_ACCOUNTS_DIR=/", "ETRUSTED_CLIENT_ID="}, "ETRUSTED_CLIENT_ID", "is not set"},
		{"level is above error", []string{"BROKER_LOG_LEVEL=fatal"}, "BROKER_LOG_LEVEL", "debug, info, warn or error"},
		{"unknown level", []string{"BROKER_LOG_LEVEL=CANARY"}, "BROKER_LOG_LEVEL", "debug, info, warn or error"},
		{"unknown format", []string{"BROKER_LOG_FORMAT=CANARY"}, "BROKER_LOG_FORMAT", "json or console"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers(test.environ...)...)
			if code != exitUsageOrConfig {
				t.Errorf("got exit code %d, want %d", code, exitUsageOrConfig)
			}
			// A value may be wrong in more than one way, but the output must name no other variable.
			if names := slices.Compact(problemsIn(stderr)); !slices.Equal(names, []string{test.variable}) {
				t.Errorf("got problems with %v, want only %s", names, test.variable)
			}
			if !strings.Contains(stderr, test.says) {
				t.Errorf("got\n%s\nwant %q in it", stderr, test.says)
			}
			if strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("a value is shown:\n%s%s", stdout, stderr)
			}
		})
	}
}

func TestRefusesInvalidPort(t *testing.T) {
	for _, variable := range []string{"BROKER_LISTEN", "BROKER_ADMIN_LISTEN"} {
		for _, port := range []string{"CANARY", "99999", "-1", "80 "} {
			code, stdout, stderr := invoke(nil, brokertest.EnvironWithoutServers(variable+"=127.0.0.1:"+port)...)
			if code != exitUsageOrConfig || !slices.Equal(problemsIn(stderr), []string{variable}) || strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("%s with port %q: got exit code %d, want %d for this variable without its value:\n%s", variable, port, code, exitUsageOrConfig, stderr)
			}
		}
	}
}

func TestRefusesURLWithoutValidHost(t *testing.T) {
	for _, variable := range []string{"ETRUSTED_API_URL", "ETRUSTED_TOKEN_URL"} {
		for _, value := range []string{"https://:443", "https://b\u00fccher.example", "https://api.example:0443", "http://[::1%25lo]:1"} {
			if _, problems := config.Load(brokertest.EnvironWithoutServers(variable + "=" + value)); len(problems) != 1 {
				t.Errorf("%s=%s: got %d problems, want 1: %v", variable, value, len(problems), problems)
			}
		}
	}
}

func TestHealthAndWaitRequirePort(t *testing.T) {
	for _, name := range []string{"health", "wait"} {
		if code, _, stderr := ask([]string{name}, "BROKER_ADMIN_LISTEN=127.0.0.1:"); code != exitUsageOrConfig {
			t.Errorf("%s: got exit code %d, want %d: %s", name, code, exitUsageOrConfig, stderr)
		}
	}
}

func TestReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	// Each variable has a canary, which is invalid if any value of the variable is.
	environ := []string{
		"ETRUSTED_CLIENT_ID=CANARY-id", "ETRUSTED_CLIENT_ID_FILE=CANARY-id-file",
		"ETRUSTED_CLIENT_SECRET=CANARY-secret", "ETRUSTED_CLIENT_SECRET_FILE=CANARY-secret-file",
		"ETRUSTED_API_URL=https://CANARY-user:CANARY-password@host/", "ETRUSTED_TOKEN_URL=CANARY-url",
		"ETRUSTED_AUDIENCE=CANARY-audience", "ETRUSTED_SCOPES=CANARY-scope",
		"BROKER_LISTEN=CANARY-listen", "BROKER_ADMIN_LISTEN=CANARY-admin", "BROKER_UNSAFE_LISTEN=CANARY-unsafe",
		"BROKER_ALLOWED_HOSTS=CANARY-host,*", "BROKER_TOKEN_WAIT=CANARY-wait", "BROKER_UPSTREAM_TIMEOUT=CANARY-timeout", "BROKER_UPSTREAM_HTTP2=CANARY-http2",
		"BROKER_SHUTDOWN_GRACE=CANARY-grace", "BROKER_LOG_LEVEL=CANARY-level", "BROKER_LOG_FORMAT=CANARY-format",
		"BROKER_UNKNOWN=CANARY-unknown", "ETRUSTED_ACCOUNTS_DIR=CANARY-folder",
		"BROKER_REPLAY_401=CANARY-replay", "BROKER_REPLAY_BUFFER=CANARY-buffer",
		"BROKER_ALLOW=CANARY-pattern", "BROKER_ALLOW_MODE=CANARY-mode", "BROKER_ACCESS_KEY=CANARY-key", "BROKER_ACCESS_KEY_FILE=CANARY-key-file", "BROKER_CALLERS_DIR=CANARY-callers",
		"BROKER_TLS_CERT_FILE=CANARY-cert-file", "BROKER_TLS_KEY_FILE=CANARY-tls-key-file", "BROKER_TLS_CLIENT_CA_FILE=CANARY-ca-file",
		"BROKER_REWRITE_LINKS=CANARY-links", "BROKER_TOKEN_ENDPOINT=CANARY-token-endpoint", "BROKER_INTERCEPT_CA_DIR=CANARY-ca-folder",
		"BROKER_PASS_HOSTS=https://CANARY-pass", "BROKER_INTERCEPT_LISTEN=CANARY-intercept", "BROKER_UPSTREAM_RESOLVER=CANARY-resolver",
		"BROKER_TOKEN_STORE=CANARY-store", "BROKER_TOKEN_STORE_FILE=CANARY-store-file",
		"BROKER_ACCESS_LOG=CANARY-access-log", "BROKER_PPROF=CANARY-profiles",
	}
	// Of two variables that exclude or need each other, the output names the first.
	unreported := []string{
		"ETRUSTED_CLIENT_ID_FILE", "ETRUSTED_CLIENT_SECRET_FILE", "ETRUSTED_AUDIENCE", "ETRUSTED_SCOPES",
		"BROKER_ACCESS_KEY_FILE", "BROKER_TLS_KEY_FILE", "BROKER_TLS_CLIENT_CA_FILE", "BROKER_TOKEN_STORE_FILE",
	}
	for _, args := range [][]string{nil, {"serve"}} {
		code, stdout, stderr := invoke(args, environ...)
		if code != exitUsageOrConfig {
			t.Errorf("%v: got exit code %d, want %d", args, code, exitUsageOrConfig)
		}
		if strings.Contains(stdout+stderr, "CANARY") {
			t.Errorf("%v: a value is shown:\n%s%s", args, stdout, stderr)
		}
		named := problemsIn(stderr)
		for _, v := range config.Variables() {
			if _, isSet := config.EnvironToMap(environ)[v.Name]; !isSet {
				t.Errorf("this test does not set %s", v.Name)
			}
			if slices.Contains(named, v.Name) == slices.Contains(unreported, v.Name) {
				t.Errorf("%v: got a problem with %s %t, want %t:\n%s", args, v.Name, slices.Contains(named, v.Name), !slices.Contains(named, v.Name), stderr)
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
		{"BROKER_ALLOW_MODE=warn"},
		{"BROKER_ALLOW_MODE=enforce", "BROKER_ALLOW=GET /channels/{$}, GET /a/{id}/{id2}"},
		{"BROKER_ALLOW=READ-ONLY, POST /invites,GET /reviews/{id}/{rest...}"},
		{"HTTPS_PROXY=http://127.0.0.1:3128"},
		{"HTTPS_PROXY=http://proxy.example:8080", "BROKER_LISTEN=127.0.0.1:8080"},
		{"BROKER_ADMIN_LISTEN="},
		{"BROKER_ADMIN_LISTEN=:9464"}, // allowed, since it shows no secret
		{"BROKER_ALLOWED_HOSTS=a.example, b.example:8080,[::2]"},
		{"BROKER_TOKEN_WAIT=0s", "BROKER_SHUTDOWN_GRACE=0s"},
		{"BROKER_LOG_LEVEL=debug", "BROKER_LOG_FORMAT=console"},
	}
	for _, environ := range tests {
		if _, problems := config.Load(brokertest.EnvironWithoutServers(environ...)); len(problems) > 0 {
			t.Errorf("%v: got problems %v, want none", environ, problems)
		}
	}
}

// A Kubernetes Secret that was made with echo ends with a line feed.
func TestTrimsLineEndsOfCredentials(t *testing.T) {
	c, problems := config.Load(brokertest.EnvironWithoutServers("ETRUSTED_CLIENT_ID=a-b\n", "ETRUSTED_CLIENT_SECRET=secret\r\n"))
	if len(problems) > 0 || c.ClientID.Reveal() != "a-b" || c.ClientSecret.Reveal() != "secret" {
		t.Errorf("got %q and %q, %v, want them without line ends", c.ClientID.Reveal(), c.ClientSecret.Reveal(), problems)
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
		t.Errorf("got scopes %q, want a and b", c.Scopes)
	}
	if c.TokenWait != 90*time.Second || c.AdminListen != "" {
		t.Errorf("got token wait %v and admin address %q, want 1m30s and none", c.TokenWait, c.AdminListen)
	}
	if c.API.Host != "api.example" || c.Audience != "https://api.etrusted.com" {
		t.Errorf("got API %v and audience %q, want api.example and the default", c.API, c.Audience)
	}
}
