package admin

import (
	"testing"
	"time"

	"etrusted-broker/internal/tally"
	"etrusted-broker/tokensource"
)

// TestNoTokenIsNotFine holds that nobody is told that the token is fine while there is none, nor whose fault it is while
// nothing has failed.
func TestNoTokenIsNotFine(t *testing.T) {
	t.Parallel()
	snapshot := tokensource.Snapshot{
		Account: "default", LastSuccess: time.Now().Add(-time.Hour),
		PendingReload: &tokensource.CredentialReload{Outcome: tokensource.ReloadRejected, Reason: "why", Advice: "Do it."},
	}
	failing := tally.Account{LastFiveMinutes: tally.Window{Counts: tally.Counts{Asked: 7, APIFailed: 2}}}
	c := Config{
		Started: time.Now(), Tokens: func() []tokensource.Snapshot { return []tokensource.Snapshot{snapshot} },
		Traffic:  func() tally.Snapshot { return tally.Snapshot{Accounts: map[string]tally.Account{"default": failing}} },
		InFlight: func() int64 { return 0 }, Draining: func() bool { return false },
	}
	status := c.status(time.Now())
	if status.State != Waiting || status.AtFault != Nobody || status.Summary != "The broker is fetching a token." ||
		status.Detail != "Requests wait for it. Besides, of the 7 requests sent to the API in the last five minutes, 2 failed." {
		t.Errorf("%+v", status.Verdict)
	}
	if account := status.Accounts[0]; account.Troubled || account.AtFault != Nobody {
		t.Errorf("%+v", account)
	}
}
