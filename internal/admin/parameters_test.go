package admin

import (
	"testing"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

// TestScopesAreTheConfigurations holds that a login server that refuses the configured scopes is not what is blamed, nor
// said to be none.
func TestScopesAreTheConfigurations(t *testing.T) {
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
		if told := c.status(time.Now()).Diagnosis; told.Cause != CauseConfiguration || told.Summary != "Requests fail: what answers at ETRUSTED_TOKEN_URL gives no token for this configuration." {
			t.Errorf("%s: %+v", source, told)
		}
	}
}
