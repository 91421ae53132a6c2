package tokensource_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// credentialFiles is a directory with the files of a pair.
type credentialFiles string

func newCredentialFiles(t *testing.T) credentialFiles {
	t.Helper()
	f := credentialFiles(t.TempDir())
	f.write(t, fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret)
	return f
}

func (f credentialFiles) path(name string) string { return filepath.Join(string(f), name) }

// source returns what reads the files.
func (f credentialFiles) source() tokensource.CredentialSource {
	field := func(name string) tokensource.CredentialFieldSource {
		return tokensource.CredentialFieldSource{Name: f.path(name), File: f.path(name)}
	}
	return tokensource.CredentialSource{ID: field("client_id"), Secret: field("client_secret")}
}

// write writes the pair without signalling a source.
func (f credentialFiles) write(t *testing.T, id, secret string) {
	t.Helper()
	writeFile(t, f.path("client_id"), id)
	writeFile(t, f.path("client_secret"), secret)
}

// touch makes the pair one that was just written: files have the time outside of the bubble.
func (f credentialFiles) touch(t *testing.T) {
	t.Helper()
	now := time.Now()
	if err := errors.Join(os.Chtimes(f.path("client_id"), now, now), os.Chtimes(f.path("client_secret"), now, now)); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fileRig is a rig whose credentials are in files.
type fileRig struct {
	*rig
	credentialFiles
}

func newFileRig(t *testing.T, options fakeetrusted.Options) *fileRig {
	t.Helper()
	files := newCredentialFiles(t)
	return &fileRig{newRig(t, options, func(config *tokensource.Config) { config.Credentials = files.source() }), files}
}

func (f *fileRig) change(t *testing.T, id, secret string) {
	t.Helper()
	f.write(t, id, secret)
	f.ReloadCredentials()
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

// clients returns the client IDs of all token requests.
func (f *fileRig) clients() (ids []string) {
	for _, request := range f.server.TokenRequests() {
		ids = append(ids, request.Form.Get("client_id"))
	}
	return ids
}
