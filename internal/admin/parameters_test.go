package admin

import (
	"testing"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// TestCauseOfInvalidScopeIsConfiguration: if the login server refuses the configured scopes, the cause is the configuration,
// whatever the source of the URL.
func TestCauseOfInvalidScopeIsConfiguration(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"default", "environment"} {
		snapshot := tokensource.Snapshot{Account: "default", LastFailure: &tokensource.RefreshError{
			Outcome: tokensource.OutcomeInvalidResponse, Reason: "it is 400 Bad Request, invalid_scope", Advice: "Check ETRUSTED_SCOPES.", Parameters: true,
		}}
		c := Config{
			Started: time.Now(), Settings: []Setting{{Name: "ETRUSTED_TOKEN_URL", Source: source}},
			Tokens:   func() []tokensource.Snapshot { return []tokensource.Snapshot{snapshot} },
			Traffic:  func() stats.Snapshot { return stats.Snapshot{} },
			InFlight: func() int64 { return 0 }, Draining: func() bool { return false },
		}
		if got := c.status(time.Now()).Diagnosis; got.Cause != CauseConfiguration || got.Summary != "Requests fail: the server at ETRUSTED_TOKEN_URL issues no token for this configuration." {
			t.Errorf("%s: got %+v, want cause configuration", source, got)
		}
	}
}
