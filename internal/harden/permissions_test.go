package harden_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"etrusted-broker/internal/harden"
)

func TestWorldReadable(t *testing.T) {
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
			t.Skip(err) // needs a privilege on Windows
		}
		return path
	}
	for name, test := range map[string]struct {
		path string
		mode fs.FileMode
		open bool
	}{
		"owner":            {file("0600", 0o600), 0o600, false},
		"group":            {file("0640", 0o640), 0o640, false},
		"world":            {file("0644", 0o644), 0o644, true},
		"others only":      {file("0604", 0o604), 0o604, true},
		"others may write": {file("0602", 0o602), 0o602, false},
		"sticky":           {file("1644", 0o644|fs.ModeSticky), 0o644, true},
		"link to open":     {link("open", "0644"), 0o644, true},
		"link to link":     {link("again", "open"), 0o644, true},
		"link to closed":   {link("closed", "0600"), 0o600, false}, // a link's own mode is 0777
		"link to nothing":  {link("broken", "missing"), 0, false},
		"missing":          {filepath.Join(dir, "missing"), 0, false},
		"no path":          {"", 0, false},
		"parent is a file": {filepath.Join(dir, "0644", "secret"), 0, false},
	} {
		if runtime.GOOS == "windows" {
			test.mode, test.open = 0, false
		}
		if mode, open := harden.WorldReadable(test.path); mode != test.mode || open != test.open {
			t.Errorf("%s: got %v, %v, want %v, %v", name, mode, open, test.mode, test.open)
		}
	}
}
