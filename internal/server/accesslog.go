package server

import (
	"crypto/rand"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

// accessLogLevel is that of the line for each request: without BROKER_ACCESS_LOG it is for who debugs the broker.
func accessLogLevel(c config.Config) zapcore.Level {
	if c.AccessLog {
		return zapcore.InfoLevel
	}
	return zapcore.DebugLevel
}

// requestIDs makes the names of requests that have none; nil where no line would tell them, and they would only be one more
// header that the app did not send.
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
	line := b.log.Check(b.accessLevel, "request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("account", report.Account),
		zap.String("method", printable.Escape(report.Method, maxMethod)),
		zap.String("path", report.Path),
		zap.Int("status", report.Status),
		zap.Int64("bytes", report.Bytes),
		zap.Duration("took", report.Duration),
		zap.Duration("upstream_took", report.Upstream),
		zap.Bool("replayed", report.Retry.Sent()),
	}
	for _, field := range []zap.Field{ // what is so of few requests
		zap.String("request_id", report.RequestID),
		zap.String("trace_id", report.TraceID),
		zap.String("denied", string(report.Denied)),
		zap.String("problem", report.Problem),
		zap.String("replay", string(report.Retry)),
	} {
		if field.String != "" {
			fields = append(fields, field)
		}
	}
	if report.Broken {
		fields = append(fields, zap.Bool("broken", true))
	}
	line.Write(fields...)
}
