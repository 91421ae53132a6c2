package server

import (
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
)

// This covers both formats, and what net/http logs through the server's ErrorLog.
func TestLogEscapesAndBoundsText(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		var logs brokertest.LogBuffer
		log := newLogger(&logs, zapcore.InfoLevel, format)
		long := strings.Repeat(brokertest.HostileText, 2000)
		log.Warn(long)
		log.Warn("a field", zap.String("reason", long))
		log.With(zap.String("reason", long)).Warn("a field of every line")
		newAdminServer(http.NotFoundHandler(), log).ErrorLog.Printf("http: TLS handshake error from 127.0.0.1:1: %s", long)
		log.Debug(long)
		brokertest.CheckPrintable(t, format, logs.String(), 4, 2400)
	}
}
