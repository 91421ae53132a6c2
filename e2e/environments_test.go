package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestServesProductionAndQA: one broker serves an account in production and one in QA, each with its own login server and API, while a
// third is moved from QA to production. The APIs verify the issuer of each token, and so accept only their own.
func TestServesProductionAndQA(t *testing.T) {
	t.Parallel()
	production := startTestServers(t, time.Minute)
	qa := &testServers{ca: production.ca}
	qa.login = startLoginServer(t, qa.ca, production.newSecret(), time.Minute)
	qa.api = startAPI(t, qa.ca, qa.login)

	dir, sets := t.TempDir(), t.TempDir()
	ofProduction := map[string]string{"client_id": clientID, "client_secret": production.login.currentSecret()}
	ofQA := map[string]string{
		"client_id": clientID, "client_secret": qa.login.currentSecret(),
		"api_url": qa.api.url, "token_url": qa.login.tokenURL(), "audience": qa.api.url,
	}
	writeAccountFiles(t, filepath.Join(dir, "qa"), ofQA)
	writeAccountFiles(t, filepath.Join(sets, "qa"), ofQA)
	writeAccountFiles(t, filepath.Join(sets, "production"), ofProduction)
	move := func(to string) {
		next := filepath.Join(dir, ".next")
		if err := os.Symlink(filepath.Join(sets, to), next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "moving")); err != nil {
			t.Fatal(err)
		}
	}
	move("qa")
	b := production.startBroker(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+production.login.currentSecret(), "ETRUSTED_ACCOUNTS_DIR="+dir)
	b.waitForToken()
	get := func(path string) {
		t.Helper()
		if got := b.get(b.appURL + path); got.status != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", path, got.status, got.body)
		}
	}
	for range 10 {
		get("/production")
		get("/@qa/qa")
		get("/@moving/qa")
	}
	move("production")
	eventually(t, waitTimeout, "the account is moved", func() bool {
		before := len(production.api.requests())
		get("/@moving/either")
		return len(production.api.requests()) > before
	})
	for range 10 {
		get("/@moving/production")
		get("/@qa/qa")
	}

	for name, servers := range map[string]*testServers{"production": production, "qa": qa} {
		for _, request := range servers.api.requests() {
			if request.status != http.StatusOK || request.path != "/"+name && request.path != "/either" {
				t.Errorf("the API of %s got %s with the status %d (%s), want only its own requests and tokens", name, request.path, request.status, request.reason)
			}
		}
		for _, request := range servers.login.tokenRequests() {
			if got := request.form.Get("client_secret"); got != servers.login.currentSecret() || request.form.Get("audience") != servers.api.url {
				t.Errorf("the login server of %s got a secret or an audience that is not its own", name)
			}
		}
	}
	wantTokenStatuses(t, production.login, http.StatusOK, http.StatusOK)
	wantTokenStatuses(t, qa.login, http.StatusOK, http.StatusOK)
}

// writeAccountFiles creates the directory of an account.
func writeAccountFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
