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

// newLogger returns a logger that writes to w. It does not sample: a token event that is dropped because it is like
// those before it is the one that somebody looks for.
func newLogger(w io.Writer, level zapcore.Level, format string) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if format == "console" || format == "" && isTerminal(w) {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	return zap.New(escapingCore{zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)})
}

const (
	// maxLogText bounds one value in the log, and maxLogMessage its message, which net/http may make of what a client sent
	// in a TLS handshake: a request of 64 kB writes no more than 2 kB.
	maxLogText    = 1 << 10
	maxLogMessage = 2 << 10
)

// escapingCore escapes and bounds every text, whoever it is from. zap's encoders do so only in part: of control characters
// they know those below U+0020, and the console's writes messages as they are.
type escapingCore struct{ zapcore.Core }

// With implements zapcore.Core.
func (c escapingCore) With(fields []zapcore.Field) zapcore.Core {
	return escapingCore{c.Core.With(escapeFields(fields))}
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
	return c.Core.Write(entry, escapeFields(fields))
}

// escapeFields changes the fields where they are: each slice is made for one line.
func escapeFields(fields []zapcore.Field) []zapcore.Field {
	for i := range fields {
		if fields[i].Type == zapcore.StringType {
			fields[i].String = printable.Escape(fields[i].String, maxLogText)
		}
	}
	return fields
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// SilenceStandardLog discards what the standard library logs by itself. Its HTTP client quotes what a server sends
// unasked on an idle connection, and that may be the secret or the token that the server was given.
func SilenceStandardLog() {
	stdlog.SetOutput(io.Discard)
}

// logTokenEvent writes one line for each token request that has ended.
func logTokenEvent(log *zap.Logger, event tokensource.RefreshEvent) {
	next := event.Next.Round(time.Millisecond)
	if event.FromPeer {
		logPeerEvent(log, event, next)
		return
	}
	if event.Err == nil {
		log.Info("token fetched",
			zap.String("account", event.Account),
			zap.Duration("took", event.Duration),
			zap.Duration("valid_for", event.Remaining.Round(time.Millisecond)),
			zap.Duration("next_refresh_in", next))
		return
	}
	level := zapcore.WarnLevel
	if event.Err.Outcome == tokensource.OutcomeRejected || event.Remaining == 0 {
		level = zapcore.ErrorLevel // requests fail now, or will without somebody's help
	}
	log.Log(level, "token request failed", append(failureFields(event, next), zap.Duration("took", event.Duration))...)
}

// logPeerEvent writes one line for a token request of another broker.
func logPeerEvent(log *zap.Logger, event tokensource.RefreshEvent, next time.Duration) {
	if event.Err == nil {
		log.Info("token received from the store",
			zap.String("account", event.Account),
			zap.Duration("valid_for", event.Remaining.Round(time.Millisecond)),
			zap.Duration("next_refresh_in", next))
		return
	}
	log.Warn("the token request of another broker failed", failureFields(event, next)...)
}

// failureFields tell of a token request that has failed, whoever made it.
func failureFields(event tokensource.RefreshEvent, next time.Duration) []zap.Field {
	return []zap.Field{
		zap.String("account", event.Account),
		zap.String("outcome", string(event.Err.Outcome)),
		zap.String("reason", event.Err.Reason),
		zap.String("what_to_do", event.Err.Advice),
		zap.Int("consecutive_failures", event.ConsecutiveFailures),
		zap.Duration("token_still_valid_for", event.Remaining.Round(time.Millisecond)),
		zap.Duration("next_attempt_in", next),
	}
}

// logReload writes one line for credentials that changed.
func logReload(log *zap.Logger, reload tokensource.CredentialReload) {
	account := zap.String("account", reload.Account)
	if reload.Outcome == tokensource.ReloadSuccess {
		log.Info("new credentials are in use", account)
		return
	}
	log.Warn("new credentials do not work; keeping the old ones", account,
		zap.String("outcome", string(reload.Outcome)),
		zap.String("reason", reload.Reason),
		zap.String("what_to_do", reload.Advice),
		zap.Duration("next_attempt_in", reload.Next.Round(time.Millisecond)))
}
