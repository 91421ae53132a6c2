package server

import (
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/operations"
	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

// requestIDGenerator returns the generator of IDs for requests without one. It returns nil if no log line would contain them: they
// would only be a header that the app did not send.
func requestIDGenerator(c config.Config) (nilIfNotLogged func() string) {
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
		optionalField("caller", record.Caller),
		optionalField("request_id", record.RequestID),
		optionalField("trace_id", record.TraceID),
		optionalField("denied", string(record.Denied)),
		optionalField("problem", record.ProxyError),
		optionalField("retry", string(record.Retry)),
		optionalField("passed", string(record.Passed)),
	}
	if record.Problem != nil {
		fields = append(fields, zap.String("code", record.Problem.Code))
	}
	if record.Broken {
		fields = append(fields, zap.Bool("broken", true))
	}
	line.Write(fields...)
}

// sameReasonLogInterval is the pause between two log lines for the same reason: a client that gets an error often tries again.
const sameReasonLogInterval = time.Minute

// throttledRequestLog logs requests that were refused, or that failed: the first for a reason at once, and the others once a
// minute. log and message must be set.
type throttledRequestLog struct {
	log     *zap.Logger
	message string

	mu       sync.Mutex
	unlogged map[string]*requestsSinceLogLine // since the last line, for each reason that has one
}

type requestsSinceLogLine struct {
	count int
	last  proxy.RequestRecord
}

// add logs a request, or counts it for the next line. reason is one of a small set.
func (l *throttledRequestLog) add(reason string, r proxy.RequestRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waiting := l.unlogged[reason]; waiting != nil {
		waiting.count++
		waiting.last = r
		return
	}
	l.writeAndScheduleFlush(reason, r, 1)
}

// flush logs what was counted for a reason.
func (l *throttledRequestLog) flush(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.unlogged[reason]
	if waiting.count == 0 {
		delete(l.unlogged, reason)
		return
	}
	l.writeAndScheduleFlush(reason, waiting.last, waiting.count)
}

// writeAndScheduleFlush writes a line, and begins to count the requests for the next one.
func (l *throttledRequestLog) writeAndScheduleFlush(reason string, last proxy.RequestRecord, count int) {
	if l.unlogged == nil {
		l.unlogged = map[string]*requestsSinceLogLine{}
	}
	l.unlogged[reason] = new(requestsSinceLogLine)
	time.AfterFunc(sameReasonLogInterval, func() { l.flush(reason) })
	fields := []zap.Field{
		zap.String("reason", reason), zap.Int("count", count),
		zap.String("method", printable.Escape(last.Method, maxLoggedMethod)), zap.String("path", last.Path), zap.Int("status", last.Status),
		optionalField("caller", last.Caller),
	}
	if last.Problem != nil {
		fields = append(fields, zap.String("code", last.Problem.Code), zap.String("detail", last.Problem.Detail))
	}
	l.log.Warn(l.message, fields...)
}

// brokerRefusalReason returns why the broker refused a request: the label of the metric, or else the code of its response; "" if it
// did not.
func brokerRefusalReason(r proxy.RequestRecord) string {
	if r.Denied == "" && isLocalResponse(r) && r.Problem != nil && r.Status < 500 {
		return r.Problem.Code
	}
	return string(r.Denied)
}

// apiFailureReason returns why a request to the API failed: the code of the broker's response, or the status of the API's. It
// returns "" if it did not fail or was not sent: the log already has the reason why there is no token.
func apiFailureReason(r proxy.RequestRecord) string {
	switch local := isLocalResponse(r); {
	case local && r.Problem != nil && (r.Status == 502 || r.Status == 504):
		return r.Problem.Code
	case !local && (r.Status >= 500 || r.Status == 401 || r.Status == 403 || r.Status == 429):
		return "api-status-" + strconv.Itoa(r.Status)
	}
	return ""
}

// oncePerMinute limits log lines about something that happens often to one a minute. The zero value is ready to use.
type oncePerMinute struct {
	last atomic.Pointer[time.Time] // nil before the first line
}

// allow reports whether a line may be written now.
func (l *oncePerMinute) allow() bool {
	now := time.Now()
	last := l.last.Load()
	return (last == nil || now.Sub(*last) >= time.Minute) && l.last.CompareAndSwap(last, &now)
}

const (
	// maxLoggedOperationsPerCaller is how many operations of a caller are logged: an app can invent new ones without end.
	maxLoggedOperationsPerCaller = 200
	// maxLoggedDryRunPath is how much of an unusual path is logged.
	maxLoggedDryRunPath = 200
)

// dryRunLog logs each operation that the allow list would refuse once. log must be set.
type dryRunLog struct {
	log *zap.Logger

	mu     sync.Mutex
	logged map[string]map[dryRunRefusal]bool // by caller
}

// forget forgets the operations of a caller.
func (d *dryRunLog) forget(caller string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.logged, caller)
}

// dryRunRefusal is an operation, and the code of the problem that the app would get.
type dryRunRefusal struct{ operation, code string }

// add logs a request that was forwarded only because of the dry run, unless its operation is known.
func (d *dryRunLog) add(r proxy.RequestRecord) {
	operation, usual := operations.Normalize(r.Method, r.Path)
	d.mu.Lock()
	defer d.mu.Unlock()
	logged, current := d.logged[r.Caller], dryRunRefusal{operation, r.DryRun.Code}
	if logged[current] || len(logged) > maxLoggedOperationsPerCaller {
		return
	}
	if logged == nil {
		logged = map[dryRunRefusal]bool{}
		if d.logged == nil {
			d.logged = map[string]map[dryRunRefusal]bool{}
		}
		d.logged[r.Caller] = logged
	}
	logged[current] = true
	if len(logged) > maxLoggedOperationsPerCaller {
		d.log.Warn("BROKER_ALLOW_MODE=warn: there are too many operations that the allow list would refuse; further ones are only counted", optionalField("caller", r.Caller))
		return
	}
	missing := zap.String("path", printable.Escape(r.Path, maxLoggedDryRunPath)) // the first unusual one stands for all
	if usual {
		missing = zap.String("pattern", operations.AllowPattern(operation))
	}
	d.log.Warn("BROKER_ALLOW_MODE=warn: the allow list would refuse this operation; logged once", optionalField("caller", r.Caller),
		zap.String("method", printable.Escape(r.Method, maxLoggedMethod)), missing, zap.String("code", r.DryRun.Code), zap.Int("status", r.Status))
}
