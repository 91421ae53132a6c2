package main

import (
	"crypto/rand"
	"fmt"
	"strings"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/proxy"
)

// accessLevel is that of the line for each request: without BROKER_ACCESS_LOG it is for who debugs the broker.
func (c config) accessLevel() zapcore.Level {
	if c.AccessLog {
		return zapcore.InfoLevel
	}
	return zapcore.DebugLevel
}

// requestIDs makes the names of requests that have none; nil where no line would tell them, and they would only be one more
// header that the app did not send.
func (c config) requestIDs() func() string {
	if !c.AccessLog || c.LogLevel > zapcore.InfoLevel {
		return nil
	}
	return rand.Text
}

// visible writes what a client sent so that a terminal shows it, and obeys none of it: zap escapes the controls of ASCII but
// DEL, and not those of Unicode (U+009B begins a sequence as ESC [ does), nor what turns the direction of a line.
func visible(text string) string {
	if !strings.ContainsFunc(text, isHidden) {
		return text
	}
	var shown strings.Builder
	for _, r := range text {
		if isHidden(r) {
			for _, octet := range []byte(string(r)) {
				_, _ = fmt.Fprintf(&shown, "%%%02X", octet)
			}
			continue
		}
		shown.WriteRune(r)
	}
	return shown.String()
}

func isHidden(r rune) bool { return r > '~' && !unicode.IsPrint(r) }

// logRequest writes one line for a request: no query and no headers but what names the request, since they may hold
// personal data and the app's own credentials.
func (b *broker) logRequest(report proxy.Report) {
	line := b.log.Check(b.accessLevel, "request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("account", report.Account),
		zap.String("method", report.Method),
		zap.String("path", report.Path),
		zap.Int("status", report.Status),
		zap.Int64("bytes", report.Bytes),
		zap.Duration("took", report.Duration),
		zap.Duration("upstream_took", report.Upstream),
		zap.Bool("replayed", report.Replay.Sent()),
	}
	for _, field := range []zap.Field{ // what is so of few requests
		zap.String("request_id", visible(report.RequestID)),
		zap.String("trace_id", report.TraceID),
		zap.String("denied", string(report.Denied)),
		zap.String("problem", report.Problem),
		zap.String("replay", string(report.Replay)),
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
