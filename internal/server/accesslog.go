package server

import (
	"crypto/rand"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

// requestIDs returns the generator of IDs for requests without one. It returns nil if no log line would contain them: they
// would only be a header that the app did not send.
func requestIDs(c config.Config) func() string {
	if !c.AccessLog || c.LogLevel > zapcore.InfoLevel {
		return nil
	}
	return rand.Text
}

// maxMethod is more than any registered method has.
const maxMethod = 32

// logRequest writes one line for a request: no query and no headers but what names the request, since they may hold
// personal data and the app's own credentials.
func (b *broker) logRequest(report proxy.RequestRecord) {
	level := zapcore.DebugLevel
	if b.config.AccessLog {
		level = zapcore.InfoLevel
	}
	line := b.log.Check(level, "request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("account", report.Account),
		zap.String("method", printable.Escape(report.Method, maxMethod)),
		zap.String("path", report.Path),
		zap.Int("status", report.Status),
		zap.Int64("bytes", report.Bytes),
		zap.Duration("duration", report.Duration),
		zap.Duration("upstream_duration", report.Upstream),
		zap.Bool("retried", report.Retry.Sent()),
	}
	for _, field := range []zap.Field{ // what is so of few requests
		zap.String("caller", report.Caller),
		zap.String("request_id", report.RequestID),
		zap.String("trace_id", report.TraceID),
		zap.String("denied", string(report.Denied)),
		zap.String("problem", report.Problem),
		zap.String("retry", string(report.Retry)),
		zap.String("passed", string(report.Passed)),
	} {
		if field.String != "" {
			fields = append(fields, field)
		}
	}
	if report.Answer != nil {
		fields = append(fields, zap.String("code", report.Answer.Code))
	}
	if report.Broken {
		fields = append(fields, zap.Bool("broken", true))
	}
	line.Write(fields...)
}
