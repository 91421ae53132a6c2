package check

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

func TestTextFileProblem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	const hiddenPath = "file not found (the path is hidden, it may be the secret)"
	onlyVisible := func(part string) string {
		return "file not found: this user can see only " + part + " of its path (the rest is hidden, it may be the secret)"
	}
	for path, want := range map[string]string{
		write("good", "x", 0o600):                  "",
		write("empty", "", 0o600):                  "",
		write("utf16", "\xff\xfex\x00", 0o600):     "utf16 is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8",
		write("big endian", "\xfe\xff\x00", 0o600): "big endian is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8",
		socket:                                  "s is not a regular file",
		dir:                                     filepath.Base(dir) + " is not a regular file",
		filepath.Join(dir, "missing"):           "missing does not exist",
		filepath.Join(dir, "good", "CANARY"):    onlyVisible(filepath.Join(dir, "good")),
		filepath.Join(dir, "missing", "CANARY"): onlyVisible(dir),
		"/CANARY":                               hiddenPath,
		"./CANARY":                              hiddenPath,
		"CANARY":                                hiddenPath,
	} {
		got := TextFileProblem(path)
		if want == "" && got != "" || !strings.HasSuffix(got, want) || strings.Contains(got, "CANARY") {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	closed := write("closed", "x", 0)
	if file, err := os.Open(closed); err == nil { // root
		_ = file.Close()
		t.Skip("this user can read every file")
	}
	for _, part := range []string{closed + " is not readable for this user", ", it belongs to uid ", ", and this process runs as uid ", "its mode is 0000"} {
		if got := TextFileProblem(closed); !strings.Contains(got, part) {
			t.Errorf("got %q, want %q in it", got, part)
		}
	}
}

// A file that cannot be used does not hide that others can read a secret.
func TestUnusableFileKeepsWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	readable := filepath.Join(dir, "readable")
	if err := os.WriteFile(readable, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	config.Files = []FileToTest{{Path: filepath.Join(dir, "missing")}, {Path: readable, Secret: true}}
	config.OtherReaders = func(string) (readers, repair string) { return "every user", "chmod" }
	printed := mustFail(t, config, "files", "missing does not exist", CauseConfiguration)
	if warning := readable + " is readable for others on this machine, every user: run chmod"; !strings.Contains(printed, warning) {
		t.Errorf("got no %q in:\n%s", warning, printed)
	}
}

func TestJoinFirst(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]string{"": nil, "a, b, c, d, e, f, g, h": strings.Split("abcdefgh", ""), "a, b, c, d, e, f, g, h, and 2 more": strings.Split("abcdefghij", "")} {
		if got := joinFirstAndMore(all); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
