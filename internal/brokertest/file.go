package brokertest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ReplaceFile moves a file of mode 0600 to path, so that no reader sees half of its content. It is old enough for a broker to read
// it at once.
func ReplaceFile(t *testing.T, path string, content []byte) {
	t.Helper()
	next, written := filepath.Join(t.TempDir(), "next"), time.Now().Add(-time.Minute)
	if err := errors.Join(os.WriteFile(next, content, 0o600), os.Chtimes(next, written, written), os.Rename(next, path)); err != nil {
		t.Fatal(err)
	}
}
