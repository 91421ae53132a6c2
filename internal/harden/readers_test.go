package harden_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"etrusted-broker/internal/harden"
)

func TestOtherReadersFollowTheMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	dir := t.TempDir()
	file := func(name string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // independent of the umask
			t.Fatal(err)
		}
		return path
	}
	link := func(name, to string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		path string
		mode string // empty: only the owner and the group can read it
	}{
		"owner":            {file("0600", 0o600), ""},
		"group":            {file("0640", 0o640), ""},
		"world":            {file("0644", 0o644), "0644"},
		"others only":      {file("0604", 0o604), "0604"},
		"others may write": {file("0602", 0o602), ""},
		"sticky":           {file("1644", 0o644|fs.ModeSticky), "0644"},
		"link to open":     {link("open", "0644"), "0644"},
		"link to link":     {link("again", "open"), "0644"},
		"link to closed":   {link("closed", "0600"), ""}, // a link's own mode is 0777
		"link to nothing":  {link("broken", "missing"), ""},
		"missing":          {filepath.Join(dir, "missing"), ""},
		"no path":          {"", ""},
		"parent is a file": {filepath.Join(dir, "0644", "secret"), ""},
	} {
		wantReaders, wantRepair := "", ""
		if test.mode != "" {
			wantReaders, wantRepair = "every user (mode "+test.mode+")", "chmod o-r "+test.path
		}
		if readers, repair := harden.ReadersBesidesBroker(test.path); readers != wantReaders || repair != wantRepair {
			t.Errorf("%s: got %q, %q, want %q, %q", name, readers, repair, wantReaders, wantRepair)
		}
	}
}
