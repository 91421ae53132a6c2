package config

import (
	"slices"
	"strings"
	"testing"
)

func TestFindsUnknownVariables(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		environ []string
		want    []string // the beginning and the end of each warning
	}{
		{"no unknown variables", []string{"PATH=/bin", "BROKER_LISTEN=x", "MY_BROKER_LISTEN=x", "BROKERS=x", "broker_listen=x"}, nil},
		{"misspelt names, sorted", []string{
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
		{"similar to those of Kubernetes", []string{"BROKER_SERVICE=x", "BROKER_SERVICE_HOSTS=x"}, []string{"BROKER_SERVICE … ", "BROKER_SERVICE_HOSTS … "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			warnings := UnknownVariables(test.environ)
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

func TestDistanceCountsEdits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "abcd", 1},
		{"abc", "bc", 1},
		{"ab", "ba", 2},
		{"kitten", "sitting", 3},
		{"intention", "execution", 5},
	}
	for _, test := range tests {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q): got %d, want %d", test.a, test.b, got, test.want)
		}
		if got := editDistance(test.b, test.a); got != test.want {
			t.Errorf("distance(%q, %q): got %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

func TestNearestSuggestsClosestName(t *testing.T) {
	t.Parallel()
	candidates := []string{"BROKER_LISTEN", "BROKER_LOG_LEVEL", "BROKER_LOG_FORMAT"}
	for name, want := range map[string]string{
		"BROKER_LISTNE":    "BROKER_LISTEN",
		"BROKER_LOG_LVL":   "BROKER_LOG_LEVEL",
		"BROKER_LOGFORMAT": "BROKER_LOG_FORMAT",
		"BROKER_LISTEN":    "BROKER_LISTEN",
	} {
		if got := closestName(name, candidates); got != want {
			t.Errorf("nearest(%s): got %s, want %s", name, got, want)
		}
	}
	if got := closestName("x", []string{"b", "a"}); got != "b" {
		t.Errorf("two candidates at the same distance: got %s, want the first, b", got)
	}
	if !slices.Equal(candidates, []string{"BROKER_LISTEN", "BROKER_LOG_LEVEL", "BROKER_LOG_FORMAT"}) {
		t.Errorf("got candidates %q, want them unchanged", candidates)
	}
}
