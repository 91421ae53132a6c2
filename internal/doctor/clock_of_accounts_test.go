package doctor

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// TestClockIsNotLostWithAnAccount holds that an account for which nobody was asked does not keep the clocks from being
// compared.
func TestClockIsNotLostWithAnAccount(t *testing.T) {
	t.Parallel()
	config := healthy(t)
	server := fakeetrusted.New(fakeetrusted.Options{})
	config.Transport.DialContext = memory(t, server).Dial
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
	report, text := examined(t, config)
	for _, step := range report.Steps {
		if step.Name == "clock" && step.Status == Failed {
			return
		}
	}
	t.Errorf("an hour apart, and nobody is told:\n%s", text)
}
