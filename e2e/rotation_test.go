package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// secretVolume is a folder as Kubernetes mounts a Secret: client_id and client_secret are links into ..data, and that is
// a link to a folder which is replaced as a whole.
type secretVolume struct {
	t        *testing.T
	folder   string
	versions int
}

func newSecretVolume(t *testing.T, secret string) *secretVolume {
	t.Helper()
	v := &secretVolume{t: t, folder: t.TempDir()}
	v.write(secret)
	for _, name := range []string{"client_id", "client_secret"} {
		v.must(os.Symlink(filepath.Join("..data", name), v.path(name)))
	}
	return v
}

func (v *secretVolume) path(name string) string { return filepath.Join(v.folder, name) }

func (v *secretVolume) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// write swaps in a secret, in the steps in which Kubernetes does.
func (v *secretVolume) write(secret string) {
	v.t.Helper()
	old, _ := os.Readlink(v.path("..data")) // none at first
	v.versions++
	version := "..2026_01_01_00_00_" + strconv.Itoa(v.versions)
	v.must(os.Mkdir(v.path(version), 0o700))
	v.must(os.WriteFile(filepath.Join(v.path(version), "client_id"), []byte(clientID+"\n"), 0o600))
	v.must(os.WriteFile(filepath.Join(v.path(version), "client_secret"), []byte(secret+"\n"), 0o600))
	v.must(os.Symlink(version, v.path("..data_tmp")))
	v.must(os.Rename(v.path("..data_tmp"), v.path("..data")))
	if old != "" {
		v.must(os.RemoveAll(v.path(old)))
	}
}

// TestRotation holds that a secret is rotated under load, first to a wrong one by mistake, and no request fails.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	volume := newSecretVolume(t, w.login.currentSecret())
	b := w.start(t, "ETRUSTED_CLIENT_ID_FILE="+volume.path("client_id"), "ETRUSTED_CLIENT_SECRET_FILE="+volume.path("client_secret"))
	b.wait()
	load := b.startLoad(t)
	eventually(t, patience, "there is load", func() bool { return len(w.api.all()) > 50 })
	before := w.api.onlyToken(t)

	rotated := w.newSecret()
	w.login.setSecret(rotated) // the old one is dead; the token is not

	volume.write(w.newSecret()) // a wrong one
	eventually(t, 5*time.Second, "the wrong secret is tried and rejected", func() bool {
		return b.metric("credential_reloads_total", `account="default"`, `outcome="rejected"`) == 1
	})
	seen := len(w.api.all())
	eventually(t, patience, "the load goes on", func() bool { return len(w.api.all()) > seen+50 })
	if w.api.onlyToken(t) != before {
		t.Error("the wrong secret changed the token")
	}
	if ready := b.get(b.admin + "/readyz"); ready.status != http.StatusOK {
		t.Errorf("after the wrong secret /readyz is %d %s", ready.status, ready.body)
	}
	b.wantMetric(1, "credential_reloads_total") // and no other outcome
	b.wantMetric(0, "token_refreshes_total", `outcome="rejected"`)
	b.wantMetric(0, "token_consecutive_failures")
	wantStatuses(t, w.login, http.StatusOK, http.StatusUnauthorized)

	volume.write(rotated)
	eventually(t, 2*time.Second, "a token of the right secret is in use", func() bool { return len(w.api.tokens()) == 2 })
	eventually(t, patience, "the reload is counted", func() bool {
		return b.metric("credential_reloads_total", `account="default"`, `outcome="success"`) == 1
	})
	b.wantMetric(2, "credential_reloads_total")
	load.end(t, 100)
	wantStatuses(t, w.login, http.StatusOK, http.StatusUnauthorized, http.StatusOK)
	if n := len(w.api.tokens()); n != 2 {
		t.Errorf("the API saw %d tokens, want 2", n)
	}
}

// wantStatuses fails the test unless the token requests were answered so.
func wantStatuses(t *testing.T, l *login, want ...int) {
	t.Helper()
	var got []int
	for _, request := range l.tokenRequests() {
		got = append(got, request.status)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the token requests were answered with %v, want %v", got, want)
	}
}
