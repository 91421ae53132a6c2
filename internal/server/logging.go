package server

import (
	"io"
	stdlog "log"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/printable"
	"etrusted-broker/tokensource"
)

// newLogger returns a logger that writes to w. It does not sample: a token event must not be dropped because it resembles others.
func newLogger(w io.Writer, level zapcore.Level, format string) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if format == "console" || format == "" && isCharDevice(w) {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	return zap.New(escapingCore{zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)})
}

const (
	// maxLogValue limits a value in the log, maxLogMessage a message, which net/http may derive from a client's TLS handshake.
	// A request of 64 kB writes at most 2 kB.
	maxLogValue   = 1 << 10
	maxLogMessage = 2 << 10
)

// escapingCore escapes and truncates every text. zap's encoders escape only control characters below U+0020, and the console
// encoder writes messages unescaped.
type escapingCore struct{ zapcore.Core }

// With implements zapcore.Core.
func (c escapingCore) With(fields []zapcore.Field) zapcore.Core {
	return escapingCore{c.Core.With(escapeFieldsInPlace(fields))}
}

// Check implements zapcore.Core. The embedded one would pass the entry to itself.
func (c escapingCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c escapingCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	entry.Message = printable.Escape(entry.Message, maxLogMessage)
	return c.Core.Write(entry, escapeFieldsInPlace(fields))
}

// escapeFieldsInPlace modifies fields in place: each slice belongs to one line.
func escapeFieldsInPlace(fields []zapcore.Field) []zapcore.Field {
	for i := range fields {
		if fields[i].Type == zapcore.StringType {
			fields[i].String = printable.Escape(fields[i].String, maxLogValue)
		}
	}
	return fields
}

func isCharDevice(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// optionalField returns a log field, or none if the value is empty.
func optionalField(key, value string) zap.Field {
	if value == "" {
		return zap.Skip()
	}
	return zap.String(key, value)
}

// SilenceStandardLog discards what the standard library logs. Its HTTP client quotes data that a server sends on an idle
// connection, and that may be the secret or the token that the server received before.
func SilenceStandardLog() { stdlog.SetOutput(io.Discard) }

// logTokenEvent writes one line for each token request that has ended, of this broker or of another one.
func logTokenEvent(log *zap.Logger, event tokensource.RefreshEvent) {
	success, failure := "token fetched", "token request failed"
	fields := []zap.Field{zap.String("account", event.Account)}
	if event.FromPeer {
		success, failure = "token received from the store", "the token request of another broker failed"
	} else {
		fields = append(fields, zap.Duration("duration", event.Duration))
	}
	remaining, next := event.Remaining.Round(time.Millisecond), event.Next.Round(time.Millisecond)
	if event.Err == nil {
		fields = append(fields, zap.Duration("valid_for", remaining), zap.Duration("next_refresh_in", next))
		log.Info(success, fields...)
		return
	}
	level := zapcore.WarnLevel
	if !event.FromPeer && (event.Err.Outcome == tokensource.OutcomeRejected || event.Remaining == 0) {
		level = zapcore.ErrorLevel // requests fail now, or will fail unless the operator acts
	}
	fields = append(fields,
		zap.String("outcome", string(event.Err.Outcome)),
		zap.String("code", event.Err.Code()),
		zap.String("reason", event.Err.Reason),
		zap.String("hint", event.Err.Advice),
		zap.Int("consecutive_failures", event.ConsecutiveFailures),
		zap.Duration("token_still_valid_for", remaining),
		zap.Duration("next_attempt_in", next))
	log.Log(level, failure, fields...)
}

// logCredentialReload writes one line for credentials that changed.
func logCredentialReload(log *zap.Logger, reload tokensource.CredentialReload) {
	account := zap.String("account", reload.Account)
	if reload.Outcome == tokensource.ReloadSuccess {
		log.Info("new credentials are in use", account)
		return
	}
	code, message := tokensource.CodeNewCredentialsUnused, "new credentials do not work; keeping the old ones"
	if reload.First {
		code, message = tokensource.CodeCredentialsUnreadable, "there are no credentials yet; waiting for the files"
	}
	warn(log, code, message, account,
		zap.String("outcome", string(reload.Outcome)),
		zap.String("reason", reload.Reason),
		zap.String("hint", reload.Advice),
		zap.Duration("next_attempt_in", reload.Next.Round(time.Millisecond)))
}
