package server

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
)

// requestLogInterval is the pause between two log lines for the same reason: a client that gets an error often tries again.
const requestLogInterval = time.Minute

// throttledRequestLog logs requests that were refused, or that failed: the first for a reason at once, and the others once a minute.
// log and message must be set.
type throttledRequestLog struct {
	log     *zap.Logger
	message string

	mu       sync.Mutex
	unlogged map[string]*unloggedRequests // since the last line, for each reason that has one
}

type unloggedRequests struct {
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
	l.write(reason, r, 1)
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
	l.write(reason, waiting.last, waiting.count)
}

func (l *throttledRequestLog) write(reason string, last proxy.RequestRecord, count int) {
	if l.unlogged == nil {
		l.unlogged = map[string]*unloggedRequests{}
	}
	l.unlogged[reason] = new(unloggedRequests)
	time.AfterFunc(requestLogInterval, func() { l.flush(reason) })
	fields := []zap.Field{
		zap.String("reason", reason), zap.Int("count", count),
		zap.String("method", printable.Escape(last.Method, maxLoggedMethod)), zap.String("path", last.Path), zap.Int("status", last.Status),
		optional("caller", last.Caller),
	}
	if last.Problem != nil {
		fields = append(fields, zap.String("code", last.Problem.Code), zap.String("detail", last.Problem.Detail))
	}
	l.log.Warn(l.message, fields...)
}

// refusalReason returns why the broker refused a request: the label of the metric, or else the code of its response; "" if it did not.
func refusalReason(r proxy.RequestRecord) string {
	if r.Denied == "" && isLocalResponse(r) && r.Problem != nil && r.Status < 500 {
		return r.Problem.Code
	}
	return string(r.Denied)
}

// failureReason returns why a request to the API failed: the code of the broker's response, or the status of the API's. It returns
// "" if it did not fail or was not sent: the log already has the reason why there is no token.
func failureReason(r proxy.RequestRecord) string {
	switch local := isLocalResponse(r); {
	case local && r.Problem != nil && (r.Status == 502 || r.Status == 504):
		return r.Problem.Code
	case !local && (r.Status >= 500 || r.Status == 401 || r.Status == 403 || r.Status == 429):
		return "api-status-" + strconv.Itoa(r.Status)
	}
	return ""
}

// minuteLog limits log lines about something that happens often to one a minute. The zero value is ready to use.
type minuteLog struct {
	last atomic.Pointer[time.Time] // nil before the first line
}

// allow reports whether a line may be written now.
func (l *minuteLog) allow() bool {
	now := time.Now()
	last := l.last.Load()
	return (last == nil || now.Sub(*last) >= time.Minute) && l.last.CompareAndSwap(last, &now)
}
