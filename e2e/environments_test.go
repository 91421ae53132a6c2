package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
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
	writeFiles(t, sets, account("production", production.login.currentSecret()))
	for _, of := range []string{dir, sets} {
		writeFiles(t, of, account("qa", qa.login.currentSecret()))
		writeFiles(t, of, map[string]string{"qa/api_url": qa.api.url, "qa/token_url": qa.login.tokenURL(), "qa/audience": qa.api.url})
	}
	move := func(to string) {
		next := filepath.Join(dir, ".next")
		if err := errors.Join(os.Symlink(filepath.Join(sets, to), next), os.Rename(next, filepath.Join(dir, "moving"))); err != nil {
			t.Fatal(err)
		}
	}
	move("qa")
	b := production.startBroker(t, "ETRUSTED_ACCOUNTS_DIR="+dir)
	b.waitForToken()
	get := func(path string) {
		t.Helper()
		if got := b.get(b.appURL + path); got.Status != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", path, got.Status, got.Body)
		}
	}
	for range 10 {
		get("/production")
		get("/@qa/qa")
		get("/@moving/qa")
	}
	move("production")
	brokertest.Eventually(t, "the account is moved", func() bool {
		before := len(production.api.requests())
		get("/@moving/either")
		return len(production.api.requests()) > before
	})
	for range 10 {
		get("/@moving/production")
		get("/@qa/qa")
	}

	for name, servers := range map[string]*testServers{"production": production, "qa": qa} {
		if got, want := servers.login.statuses(), []int{http.StatusOK, http.StatusOK}; !slices.Equal(got, want) {
			t.Errorf("the login server of %s answered %v, want %v", name, got, want)
		}
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
}
