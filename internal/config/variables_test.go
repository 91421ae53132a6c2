package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func unknownWarnings(environ ...string) []string {
	c, _ := Load(environ)
	return c.UnknownVariables
}

func TestFindsUnknownVariables(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ []string
		want    []string // the beginning and the end of each warning
	}{
		{"no unknown variables", []string{"PATH=/bin", "BROKER_LISTEN=x", "MY_BROKER_LISTEN=x", "BROKERS=x", "broker_listen=x"}, nil},
		{"misspelt names, sorted", []string{
			"ETRUSTED_CLIENTID=CANARY", "BROKER_LISTENS=CANARY", "ETRUSTED_SCOPE=CANARY", "BROKER_LOGLEVEL=CANARY",
		}, []string{
			"BROKER_LISTENS … BROKER_LISTEN?",
			"BROKER_LOGLEVEL … BROKER_LOG_LEVEL?",
			"ETRUSTED_SCOPE … ETRUSTED_SCOPES?", // and ETRUSTED_CLIENTID is an error
		}},
		{"set but empty", []string{"BROKER_ADMINLISTEN="}, []string{"BROKER_ADMINLISTEN … BROKER_ADMIN_LISTEN?"}},
		{"Kubernetes Services called broker and etrusted", []string{
			"BROKER_SERVICE_HOST=10.0.0.1", "BROKER_SERVICE_PORT=80", "BROKER_SERVICE_PORT_HTTP=80", "BROKER_PORT=tcp://10.0.0.1:80",
			"BROKER_PORT_80_TCP=tcp://10.0.0.1:80", "BROKER_PORT_80_TCP_PROTO=tcp", "BROKER_PORT_80_TCP_PORT=80", "BROKER_PORT_80_TCP_ADDR=10.0.0.1",
			"ETRUSTED_BROKER_SERVICE_HOST=10.0.0.1", "ETRUSTED_BROKER_PORT_53_UDP=udp://10.0.0.1:53",
		}, nil},
		{"similar to Kubernetes's", []string{"BROKER_SERVICE=x", "BROKER_SERVICE_HOSTS=x"}, []string{"BROKER_SERVICE … ", "BROKER_SERVICE_HOSTS … "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			warnings := unknownWarnings(test.environ...)
			if len(warnings) != len(test.want) {
				t.Fatalf("got %d warnings, want %d: %q", len(warnings), len(test.want), warnings)
			}
			for i, warning := range warnings {
				prefix, suffix, _ := strings.Cut(test.want[i], "…")
				if !strings.HasPrefix(warning, prefix) || !strings.HasSuffix(warning, suffix) && strings.TrimSpace(suffix) != "" {
					t.Errorf("got %q, want %q", warning, test.want[i])
				}
				if strings.Contains(warning, "CANARY") {
					t.Errorf("the value is shown: %q", warning)
				}
			}
		})
	}
}

func TestSuggestsNearestName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"BROKER_LISTNE":       "BROKER_LISTEN",
		"BROKER_LOG_LVL":      "BROKER_LOG_LEVEL",
		"BROKER_LOGFORMAT":    "BROKER_LOG_FORMAT",
		"BROKER_LOFORMAT":     "BROKER_LOG_FORMAT",
		"BROKER_LOG_FROMAT":   "BROKER_LOG_FORMAT",
		"BROKER_UPSTREAMHTTP": "BROKER_UPSTREAM_HTTP2",
	} {
		warnings := unknownWarnings(name + "=x")
		if len(warnings) != 1 || !strings.HasSuffix(warnings[0], " did you mean "+want+"?") {
			t.Errorf("%s: got %q, want the suggestion %s", name, warnings, want)
		}
	}
}

// Kubernetes and Docker would set such a variable for a Service or a container named broker.
func TestNoVariableHasANameThatIsInjected(t *testing.T) {
	t.Parallel()
	for _, v := range Variables() {
		if !looksLikeBrokerVariable(v.Name) || strings.HasSuffix(v.Name, "_PORT") || strings.HasSuffix(v.Name, "_HOST") {
			t.Errorf("got the variable %s, want a name that nothing else sets", v.Name)
		}
	}
}

// A misspelt name of a variable that restricts access, or holds a credential, must not leave something unprotected.
func TestMisspeltGuardIsAnError(t *testing.T) {
	t.Parallel()
	valid := []string{"ETRUSTED_CLIENT_ID=x", "ETRUSTED_CLIENT_SECRET=y"}
	for pair, want := range map[string]string{
		"BROKER_ALOW=READ-ONLY":           "BROKER_ALOW: is not a variable of the broker; write BROKER_ALLOW instead, or unset it",
		"BROKER_ALLOWED=READ-ONLY":        "BROKER_ALLOWED: is not a variable of the broker; write BROKER_ALLOW instead, or unset it",
		"BROKER_ACESS_KEY=x":              "BROKER_ACESS_KEY: is not a variable of the broker; write BROKER_ACCESS_KEY instead, or unset it",
		"BROKER_TLS_CLIENT_CAFILE=x":      "BROKER_TLS_CLIENT_CAFILE: is not a variable of the broker; write BROKER_TLS_CLIENT_CA_FILE instead, or unset it",
		"BROKER_ALOW=":                    "",
		"BROKER_LOGLEVEL=debug":           "",
		"BROKER_PORT=tcp://10.0.0.1:80":   "",
		"BROKER_NAME=/app/broker":         "",
		"BROKER_ENV_ACCESS_KEY=x":         "",
		"ETRUSTED_BROKER_ENV_CLIENT_ID=x": "",
	} {
		_, problems := Load(append(valid, pair))
		got := ""
		for _, problem := range problems {
			got += problem.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", pair, got, want)
		}
	}
}

// systemd copies the files of LoadCredential= when the service starts.
func TestFilesOfSystemdNeedARestart(t *testing.T) {
	t.Parallel()
	copies := t.TempDir()
	for directory, want := range map[string]bool{"": false, t.TempDir(): false, copies: true} {
		c, _ := Load([]string{
			"CREDENTIALS_DIRECTORY=" + directory,
			"ETRUSTED_CLIENT_ID_FILE=" + filepath.Join(copies, "client_id"), "ETRUSTED_CLIENT_SECRET_FILE=" + filepath.Join(copies, "client_secret"),
		})
		if advice := c.DefaultCredentials().Restart; strings.Contains(advice, "systemctl restart etrusted-broker") != want {
			t.Errorf("with CREDENTIALS_DIRECTORY=%s: got the advice %q, want a restart: %t", directory, advice, want)
		}
	}
}

func TestValuesAsTheyArrive(t *testing.T) {
	t.Parallel()
	c, problems := Load([]string{"ETRUSTED_CLIENT_ID=id\r", "ETRUSTED_CLIENT_SECRET=secret\r", "BROKER_UPSTREAM_TIMEOUT=5s\r", "BROKER_ALLOW=READ-ONLY\r"})
	if len(problems) > 0 || c.ClientID.Reveal() != "id" || c.ClientSecret.Reveal() != "secret" || c.UpstreamTimeout.Seconds() != 5 || c.Allow[0] != "READ-ONLY" {
		t.Errorf("a carriage return at the end: got %v, %+v, want it removed", problems, c.Allow)
	}
	for _, name := range append(ProxyAndCAVariableNames(), allVariableNames()...) {
		for _, value := range []string{`"x"`, "'x'", `""`} {
			_, problems := Load([]string{name + "=" + value})
			quoted := func(p Error) bool {
				return p.Variable == name && strings.HasPrefix(p.Message, "has quotes around its value")
			}
			if !slices.ContainsFunc(problems, quoted) {
				t.Errorf("%s=%s: got %v, want an error about the quotes", name, value, problems)
			}
			if slices.ContainsFunc(problems, func(p Error) bool { return p.Variable == name && !quoted(p) }) {
				t.Errorf("%s=%s: got %v, want only the quotes as the cause", name, value, problems)
			}
		}
	}
}
