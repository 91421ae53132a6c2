package server

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// The files of accounts are examined at startup and when an account is added, which all are once the broker runs.
func TestWarnsOnceAboutReadableFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a mode does not control access there")
	}
	var log bytes.Buffer
	b := &broker{log: newLogger(&log, zapcore.InfoLevel, "json")}
	file := filepath.Join(t.TempDir(), "client_secret")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		mode  os.FileMode
		lines int // so far
	}{{0o644, 1}, {0o644, 1}, {0o600, 1}, {0o644, 2}} {
		if err := os.Chmod(file, step.mode); err != nil {
			t.Fatal(err)
		}
		b.warnReadableFiles("", file)
		if got := strings.Count(log.String(), `"code":"readable-secret-file"`); got != step.lines {
			t.Errorf("step %d: got %d warnings, want %d", i, got, step.lines)
		}
	}
}
