package brokertest

import (
	"os"
	"path/filepath"
	"testing"
)

// ReplaceFile writes a file of mode 0600 and renames it to path, so that no reader sees half of its content.
func ReplaceFile(t *testing.T, path string, content []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), ".next")
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}
