package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestCheckNamesProblemsOfCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "empty", "key", "")
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	if _, stdout, stderr := ask([]string{"check"}, brokertest.Environ(url, "BROKER_CALLERS_DIR="+dir)...); !strings.Contains(stdout+stderr, "is empty; the caller is refused") {
		t.Errorf("got %s%s, want what is wrong with the caller", stdout, stderr)
	}
}

func TestWarnsOnceAboutEachProblemOfCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key")
	if err := os.Chmod(filepath.Join(dir, "shop", "key"), 0o644); err != nil {
		t.Fatal(err)
	}
	addFiles(t, dir, "empty", "key", "")
	b, _ := startWithCallers(t, dir)
	for i := range 2 {
		addFiles(t, dir, fmt.Sprint("other-", i), "key", fmt.Sprint("other-key-", i))
		brokertest.Eventually(t, "the directory is read again", func() bool { return len(b.Logs.Lines("caller added")) == i+2 })
	}
	if got := len(b.Logs.Lines(`caller "empty": ` + filepath.Join(dir, "empty", "key") + " is empty; the caller is refused")); got != 1 {
		t.Errorf("got %d warnings about the empty file, want 1", got)
	}
	if got := len(b.Logs.Lines("others on this machine can read a secret file: run the command in repair")); got != 1 && runtime.GOOS != "windows" {
		t.Errorf("got %d warnings about the readable file, want 1", got)
	}
}

// Operators add a restriction to a caller that exists: without a warning, they would believe in it.
func TestWarnsOnceAboutMisspeltFilesOfCaller(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key")
	b, _ := startWithCallers(t, dir)
	misspelt := filepath.Join(dir, "shop", "alow")
	brokertest.ReplaceFile(t, misspelt, []byte("GET /channels"))
	message := misspelt + " is not a file that the broker reads; did you mean allow?"
	brokertest.Eventually(t, "the broker warns of the file", func() bool { return len(b.Logs.Lines(message)) == 1 })
	addFiles(t, dir, "other", "key", "other-key")
	brokertest.Eventually(t, "the directory is read again", func() bool { return len(b.Logs.Lines("caller added")) == 2 })
	if got := len(b.Logs.Lines(message)); got != 1 {
		t.Errorf("got %d warnings about the file, want 1", got)
	}
}

func TestWarnsOnceAboutShortKeysOfCaller(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "weak", "key", "a-long-key-0123456789\n0123456789abcde")
	addFiles(t, dir, "strong", "key", "0123456789abcdef")
	b, _ := startWithCallers(t, dir)
	addFiles(t, dir, "other", "key", "another-key-0123456789")
	brokertest.Eventually(t, "the directory is read again", func() bool { return len(b.Logs.Lines("caller added")) == 3 })
	lines := b.Logs.Lines("a caller's key is short and could be guessed: create one with 'openssl rand -hex 32'")
	if len(lines) != 1 || lines[0]["caller"] != "weak" {
		t.Errorf("got the warnings %v, want one about the caller weak", lines)
	}
}

func TestCheckWarnsOfReadableKeysOfCallers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there, files have no mode")
	}
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key")
	addFiles(t, dir, "by-user", "uid", "1000")
	key := filepath.Join(dir, "shop", "key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(url, "BROKER_CALLERS_DIR="+dir)...)
	if want := key + " is readable for others on this machine"; code != exitOK || !strings.Contains(stdout, want) || strings.Contains(stdout, "by-user") {
		t.Errorf("got exit code %d and %s%s, want %d and %q", code, stdout, stderr, exitOK, want)
	}
}

func TestRefusesImpossibleCallers(t *testing.T) {
	t.Parallel()
	same := t.TempDir()
	addFiles(t, same, "a", "key", "CANARY-same")
	addFiles(t, same, "b", "key", "CANARY-same")
	for _, test := range []struct{ variables, want string }{
		{"BROKER_CALLERS_DIR=" + same, "have a key, certificate or user in common"},
		{"BROKER_CALLERS_DIR=/no/such/directory", "BROKER_CALLERS_DIR: directory not found"},
		{"BROKER_CALLERS_DIR=" + t.TempDir() + " BROKER_ACCESS_KEY=CANARY-key-0123456789", "cannot be used with an access key"},
		{"BROKER_CALLERS_DIR=" + t.TempDir() + " BROKER_ACCESS_KEY_FILE=" + filepath.Join(same, "a", "key"), "cannot be used with an access key"},
	} {
		code, _, stderr := invoke([]string{"serve"}, brokertest.EnvironWithoutServers(strings.Fields(test.variables)...)...)
		if code != exitUsageOrConfig || !strings.Contains(stderr, test.want) || strings.Contains(stderr, "CANARY") {
			t.Errorf("%s: got exit code %d and %s, want %d and %q", test.variables, code, stderr, exitUsageOrConfig, test.want)
		}
	}
}
