package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

func TestWarnsOfUnknownVariables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environ []string
		code    int
		begin   string
	}{
		"the broker starts, with a warning in its log":              {brokertest.EnvironWithoutServers("BROKER_LISTENS=CANARY"), exitOK, `{"level":"warn"`},
		"the broker does not start, and the warning is no log line": {brokertest.EnvironWithoutServers("BROKER_LISTENS=CANARY", "BROKER_LISTEN=x"), exitUsageOrConfig, "broker: warning: BROKER_LISTENS"},
	} {
		code, _, stderr := invoke(nil, test.environ...)
		if code != test.code || !strings.HasPrefix(stderr, test.begin) || !strings.Contains(stderr, "BROKER_LISTENS is not a variable of the broker and has no effect; did you mean BROKER_LISTEN?") {
			t.Errorf("%s: got exit code %d, want %d and the warning:\n%s", name, code, test.code, stderr)
		}
		if strings.Contains(stderr, "CANARY") {
			t.Errorf("%s: the value is shown:\n%s", name, stderr)
		}
	}
}
