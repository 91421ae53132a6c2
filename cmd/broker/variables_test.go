package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

func TestFindsUnknownVariables(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ []string
		want    []string // how each warning begins and ends
	}{
		{"none", []string{"PATH=/bin", "BROKER_LISTEN=x", "MY_BROKER_LISTEN=x", "BROKERS=x", "broker_listen=x"}, nil},
		{"typing errors, sorted", []string{
			"ETRUSTED_CLIENTID=CANARY", "BROKER_LISTENS=CANARY", "ETRUSTED_CLIENT_SECRET_FIEL=CANARY", "BROKER_LOGLEVEL=CANARY",
		}, []string{
			"BROKER_LISTENS … BROKER_LISTEN?",
			"BROKER_LOGLEVEL … BROKER_LOG_LEVEL?",
			"ETRUSTED_CLIENTID … ETRUSTED_CLIENT_ID?",
			"ETRUSTED_CLIENT_SECRET_FIEL … ETRUSTED_CLIENT_SECRET_FILE?",
		}},
		{"set but empty", []string{"BROKER_ADMINLISTEN="}, []string{"BROKER_ADMINLISTEN … BROKER_ADMIN_LISTEN?"}},
		{"Kubernetes Services called broker and etrusted", []string{
			"BROKER_SERVICE_HOST=10.0.0.1", "BROKER_SERVICE_PORT=80", "BROKER_SERVICE_PORT_HTTP=80", "BROKER_PORT=tcp://10.0.0.1:80",
			"BROKER_PORT_80_TCP=tcp://10.0.0.1:80", "BROKER_PORT_80_TCP_PROTO=tcp", "BROKER_PORT_80_TCP_PORT=80", "BROKER_PORT_80_TCP_ADDR=10.0.0.1",
			"ETRUSTED_BROKER_SERVICE_HOST=10.0.0.1", "ETRUSTED_BROKER_PORT_53_UDP=udp://10.0.0.1:53",
		}, nil},
		{"nearly those", []string{"BROKER_SERVICE=x", "BROKER_SERVICE_HOSTS=x"}, []string{"BROKER_SERVICE … ", "BROKER_SERVICE_HOSTS … "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			warnings := config.UnknownVariables(test.environ)
			if len(warnings) != len(test.want) {
				t.Fatalf("%q, want %d", warnings, len(test.want))
			}
			for i, warning := range warnings {
				begin, end, _ := strings.Cut(test.want[i], "…")
				if !strings.HasPrefix(warning, begin) || !strings.HasSuffix(warning, end) && strings.TrimSpace(end) != "" {
					t.Errorf("%q, want %q", warning, test.want[i])
				}
				if strings.Contains(warning, "CANARY") {
					t.Errorf("shows the value: %q", warning)
				}
			}
		})
	}
}

func TestWarnsOfUnknownVariables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environ []string
		code    int
		begin   string
	}{
		"it is a warning alone, in the log: the broker starts": {brokertest.EnvironWithoutServers("BROKER_LISTENS=CANARY"), exitOK, `{"level":"warn"`},
		"a broker that does not start has no log":              {brokertest.EnvironWithoutServers("BROKER_LISTENS=CANARY", "BROKER_LISTEN=x"), exitConfig, "broker: warning: BROKER_LISTENS"},
	} {
		code, _, stderr := invoke(nil, test.environ...)
		if code != test.code || !strings.HasPrefix(stderr, test.begin) || !strings.Contains(stderr, "BROKER_LISTENS is not a variable of the broker and has no effect; did you mean BROKER_LISTEN?") {
			t.Errorf("%s: exit code %d and\n%s", name, code, stderr)
		}
		if strings.Contains(stderr, "CANARY") {
			t.Errorf("shows the value:\n%s", stderr)
		}
	}
}
