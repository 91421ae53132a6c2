package server

import (
	"crypto/rand"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

// requestIDGenerator returns the generator of IDs for requests without one; nil if no log line would contain them.
func requestIDGenerator(c config.Config) func() string {
	if !c.AccessLog || c.LogLevel > zapcore.InfoLevel {
		return nil
	}
	return rand.Text
}

const maxLoggedMethod = 32 // bytes: more than any registered method has

// logRequest writes one line for a request, without its query and header: they may hold personal data and the app's credentials.
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
		optional("caller", record.Caller),
		optional("request_id", record.RequestID),
		optional("trace_id", record.TraceID),
		optional("denied", string(record.Denied)),
		optional("problem", record.ProxyError),
		optional("retry", string(record.Retry)),
		optional("passed", string(record.Passed)),
	}
	if record.Problem != nil {
		fields = append(fields, zap.String("code", record.Problem.Code))
	}
	if record.Broken {
		fields = append(fields, zap.Bool("broken", true))
	}
	line.Write(fields...)
}
