package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// secretVolume is a directory laid out like a mounted Kubernetes Secret: client_id and client_secret are symbolic links into
// ..data, which is a symbolic link to a directory that is replaced as a whole.
type secretVolume struct {
	t        *testing.T
	dir      string
	versions int
}

func newSecretVolume(t *testing.T, secret string) *secretVolume {
	t.Helper()
	v := &secretVolume{t: t, dir: t.TempDir()}
	v.write(secret)
	for _, name := range []string{"client_id", "client_secret"} {
		v.must(os.Symlink(filepath.Join("..data", name), v.path(name)))
	}
	return v
}

func (v *secretVolume) path(name string) string { return filepath.Join(v.dir, name) }

// environ returns the variables of a broker that reads its credentials from the volume.
func (v *secretVolume) environ() []string {
	return append(noCredentials, "ETRUSTED_CLIENT_ID_FILE="+v.path("client_id"), "ETRUSTED_CLIENT_SECRET_FILE="+v.path("client_secret"))
}

func (v *secretVolume) must(errs ...error) {
	v.t.Helper()
	if err := errors.Join(errs...); err != nil {
		v.t.Fatal(err)
	}
}

// write replaces the secret in the same steps as Kubernetes.
func (v *secretVolume) write(secret string) {
	v.t.Helper()
	old, _ := os.Readlink(v.path("..data")) // absent at first
	v.versions++
	version := "..2026_01_01_00_00_" + strconv.Itoa(v.versions)
	writeFiles(v.t, v.dir, account(version, secret))
	v.must(os.Symlink(version, v.path("..data_tmp")))
	v.must(os.Rename(v.path("..data_tmp"), v.path("..data")))
	if old != "" {
		v.must(os.RemoveAll(v.path(old)))
	}
}

// TestRotatesSecretWithoutFailingRequests: a secret is rotated under load, first to a wrong one by mistake, and no request
// fails.
func TestRotatesSecretWithoutFailingRequests(t *testing.T) {
	t.Parallel()
	servers := startTestServers(t, time.Minute)
	volume := newSecretVolume(t, servers.login.currentSecret())
	b := servers.startReadyBroker(t, volume.environ()...)
	load := b.startLoad(t)
	brokertest.Eventually(t, "there is load", func() bool { return len(servers.api.requests()) > 50 })
	before := servers.api.onlyToken(t)
	wantStatuses := func(want ...int) {
		t.Helper()
		if got := slices.Compact(servers.login.statuses()); !slices.Equal(got, want) {
			t.Errorf("statuses of the token requests: got %v, want %v", got, want)
		}
	}

	rotated := servers.newSecret()
	servers.login.setSecret(rotated) // the old secret stops working; the token stays valid

	volume.write(servers.newSecret()) // a wrong one
	within(t, 5*time.Second, "the wrong secret is tried and rejected", func() bool {
		return b.metric("credential_reloads_total", `account="default"`, `outcome="rejected"`) >= 1
	})
	received := len(servers.api.requests())
	brokertest.Eventually(t, "the load continues", func() bool { return len(servers.api.requests()) > received+50 })
	if servers.api.onlyToken(t) != before {
		t.Error("after the wrong secret the API received another token, want the same")
	}
	if ready := b.get(b.adminURL + "/readyz"); ready.Status != http.StatusOK {
		t.Errorf("/readyz after the wrong secret: got %d %s, want 200", ready.Status, ready.Body)
	}
	reloads := b.metric("credential_reloads_total") // a changed pair that was rejected is tried again after a second
	if rejected := b.metric("credential_reloads_total", `outcome="rejected"`); rejected < reloads {
		t.Errorf("got %v reloads, of which %v were rejected, want no other outcome", reloads, rejected)
	}
	b.wantMetric(0, "token_refreshes_total", `outcome="rejected"`)
	b.wantMetric(0, "token_consecutive_failures")
	wantStatuses(http.StatusOK, http.StatusUnauthorized)

	volume.write(rotated)
	within(t, 2*time.Second, "a token fetched with the right secret is in use", func() bool { return len(servers.api.tokens()) == 2 })
	brokertest.Eventually(t, "the reload is counted", func() bool {
		return b.metric("credential_reloads_total", `account="default"`, `outcome="success"`) == 1
	})
	b.wantMetric(1+b.metric("credential_reloads_total", `outcome="rejected"`), "credential_reloads_total")
	load.stopAndCheck(t, 100)
	wantStatuses(http.StatusOK, http.StatusUnauthorized, http.StatusOK)
	if n := len(servers.api.tokens()); n != 2 {
		t.Errorf("the API received %d different tokens, want 2", n)
	}
}
