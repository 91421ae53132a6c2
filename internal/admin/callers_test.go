package admin_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"etrusted-broker/internal/admin"
)

func TestVerdictNamesFilesOfCallersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		problems []string
		state    admin.BrokerState
		summary  string
		detail   string
	}{
		"none": {nil, admin.BrokerWorking, "Everything works.", ""},
		"one": {[]string{`caller "shop": /callers/shop/key is empty; the caller is refused`}, admin.BrokerDegraded,
			"Files of callers cannot be used.", `Caller "shop": /callers/shop/key is empty; the caller is refused.`},
		"several": {[]string{"a is empty", "b is empty", "c is empty"}, admin.BrokerDegraded,
			"Files of callers cannot be used.", "A is empty. More such problems: 2."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(healthy("default"))
				c.Callers = func() ([]admin.Caller, []string) { return nil, test.problems }
				got := statusFor(t, run(t, c)).Diagnosis
				if got.State != test.state || got.Summary != test.summary || got.Detail != test.detail {
					t.Errorf("got %+v, want %s, %q and %q", got, test.state, test.summary, test.detail)
				}
				if test.problems != nil && (got.Code != "caller-files" || !strings.Contains(got.Advice, "BROKER_CALLERS_DIR")) {
					t.Errorf("got code %q and advice %q, want caller-files and the variable", got.Code, got.Advice)
				}
			})
		})
	}
}
