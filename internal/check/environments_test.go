package check

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// accountIn writes the files of an account with its own servers.
func accountIn(t *testing.T, name string, files map[string]string) AccountToTest {
	t.Helper()
	dir := t.TempDir()
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	field := func(file string) tokensource.CredentialFieldSource {
		path := filepath.Join(dir, file)
		return tokensource.CredentialFieldSource{Name: path, File: path}
	}
	return AccountToTest{name, tokensource.CredentialSource{ID: field("client_id"), Secret: field("client_secret"), EnvironmentDir: dir}}
}

// Each account is tested at its own servers, which the steps name, and each server's connection once. No server gets another's
// credentials.
func TestChecksServersOfAccounts(t *testing.T) {
	t.Parallel()
	production := fakeetrusted.New(fakeetrusted.Options{})
	qa := fakeetrusted.New(fakeetrusted.Options{ClientID: "qa__id", ClientSecret: "qa secret", Audience: "qa"})
	config := eTrusted(t, production)
	at := "http://127.0.0.1:" + serve(t, qa)
	config.OwnServer = func(general ServerToTest, own *url.URL, file string) ServerToTest {
		general.URL, general.Variable, general.Transport = own, file, &http.Transport{}
		return general
	}
	files := map[string]string{"client_id": "qa__id", "client_secret": "qa secret", "api_url": at, "token_url": at + "/oauth/token", "audience": "qa"}
	own := []AccountToTest{accountIn(t, "qa-1", files), accountIn(t, "qa-2", files)}
	config.Accounts = append(config.Accounts, own...)
	report, text := runCheck(t, config)
	host := strings.TrimPrefix(at, "http://")
	if !report.OK || strings.Count(text, "login server: TCP") != 2 || strings.Count(text, "API: TCP") != 2 ||
		strings.Count(text, "received from "+host+", valid") != 2 || strings.Count(text, "200 OK from "+host+", channels: 3") != 2 ||
		!strings.Contains(text, "ok token: received, valid") || !strings.Contains(text, "ok GET /channels: 200 OK, channels: 3") {
		t.Errorf("got %t, want all steps to pass, each server once, and the accounts' own servers named:\n%s", report.OK, text)
	}
	if production.TokenRequestCount() != 1 || production.APIRequestCount() != 1 || qa.TokenRequestCount() != 2 || qa.APIRequestCount() != 2 {
		t.Errorf("got %d, %d, %d and %d requests, want one per account at its own servers", production.TokenRequestCount(), production.APIRequestCount(), qa.TokenRequestCount(), qa.APIRequestCount())
	}

	// The broker's servers are not asked if no account uses them.
	config.Accounts = own
	if report, text := runCheck(t, config); !report.OK || production.TokenRequestCount() != 1 || strings.Contains(text, "api.example") {
		t.Errorf("got %t and requests to servers that no account uses:\n%s", report.OK, text)
	}

	// A failure names the file.
	qa.SetTokenFault(fakeetrusted.Status(http.StatusNotFound, nil))
	config.Accounts = own[:1]
	if _, text := runCheck(t, config); !strings.Contains(text, "Check that "+own[0].Credentials.EnvironmentDir+"/token_url is the token endpoint") {
		t.Errorf("got no name of the file in:\n%s", text)
	}

	// A malformed file is a problem of the files, and nothing is sent.
	before := qa.TokenRequestCount()
	config.Accounts = []AccountToTest{accountIn(t, "qa-3", map[string]string{"client_id": "qa__id", "client_secret": "qa secret", "token_url": "x"})}
	mustFail(t, config, "files", "token_url must be a URL that starts with https://", CauseConfiguration)
	if last := production.TokenRequests()[production.TokenRequestCount()-1]; last.Method != http.MethodGet || qa.TokenRequestCount() != before {
		t.Errorf("got %+v, want only a request without credentials for the connection", last)
	}
}
