package check

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// TestComparesClockAfterUnreadableAccount: an account without a token request does not prevent the comparison of the clocks.
func TestComparesClockAfterUnreadableAccount(t *testing.T) {
	t.Parallel()
	config := healthyConfig(t)
	server := fakeetrusted.New(fakeetrusted.Options{})
	config.Transport.DialContext = inMemory(t, server).Dial
	server.SetTokenFault(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		fakeetrusted.New(fakeetrusted.Options{}).ServeHTTP(w, r)
	}))
	empty := filepath.Join(t.TempDir(), "client_id")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	part := tokensource.CredentialField{Name: empty, File: empty}
	config.Accounts = append([]Account{{"a", tokensource.CredentialSource{ID: part, Secret: part}}}, config.Accounts...)
	report, text := runCheck(t, config)
	for _, step := range report.Steps {
		if step.Name == "clock" && step.Status == StatusFailed {
			return
		}
	}
	t.Errorf("got no failed clock step, want one:\n%s", text)
}
