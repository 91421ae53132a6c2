package server

import (
	"crypto/rand"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

// requestIDGenerator returns the generator of IDs for requests without one. It returns nil if no log line would contain them: they
// would only be a header that the app did not send.
func requestIDGenerator(c config.Config) func() string {
	if !c.AccessLog || c.LogLevel > zapcore.InfoLevel {
		return nil
	}
	return rand.Text
}

// maxLoggedMethod is more than any registered method has.
const maxLoggedMethod = 32

// logRequest writes one line for a request: no query and no headers but what names the request, since they may hold
// personal data and the app's own credentials.
func (b *broker) logRequest(record proxy.RequestRecord) {
	level := zapcore.DebugLevel
	if b.config.AccessLog {
		level = zapcore.InfoLevel
	}
	line := b.log.Check(level, "request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("account", record.Account),
		zap.String("method", printable.Escape(record.Method, maxLoggedMethod)),
		zap.String("path", record.Path),
		zap.Int("status", record.Status),
		zap.Int64("bytes", record.Bytes),
		zap.Duration("duration", record.Duration),
		zap.Duration("upstream_duration", record.Upstream),
		zap.Bool("retried", record.Retry.Sent()),
	}
	for _, field := range []zap.Field{ // what is so of few requests
		zap.String("caller", record.Caller),
		zap.String("request_id", record.RequestID),
		zap.String("trace_id", record.TraceID),
		zap.String("denied", string(record.Denied)),
		zap.String("problem", record.ProxyError),
		zap.String("retry", string(record.Retry)),
		zap.String("passed", string(record.Passed)),
	} {
		if field.String != "" {
			fields = append(fields, field)
		}
	}
	if record.Problem != nil {
		fields = append(fields, zap.String("code", record.Problem.Code))
	}
	if record.Broken {
		fields = append(fields, zap.Bool("broken", true))
	}
	line.Write(fields...)
}
