package server

import (
	"testing"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
)

func TestGeneratesRequestIDsOnlyForTheAccessLog(t *testing.T) {
	t.Parallel()
	for level, want := range map[zapcore.Level]bool{zapcore.DebugLevel: true, zapcore.InfoLevel: true, zapcore.WarnLevel: false} {
		if got := requestIDGenerator(config.Config{AccessLog: true, LogLevel: level}) != nil; got != want {
			t.Errorf("at level %v: got %v, want %v", level, got, want)
		}
	}
}
