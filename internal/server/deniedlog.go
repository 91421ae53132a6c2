package server

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/printable"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// deniedLogInterval is the pause between two log lines about refused requests with the same reason: a client that is refused often
// tries again.
const deniedLogInterval = time.Minute

// deniedLog logs refused requests: the first of a reason at once, and the others once a minute. The zero value is not usable: log
// must be set.
type deniedLog struct {
	log *zap.Logger

	mu    sync.Mutex
	later map[access.Reason]*deniedRequests // since the last line, for each reason that has one
}

// deniedRequests are refused requests that were not logged yet.
type deniedRequests struct {
	count int
	last  proxy.RequestRecord
}

// add logs a refused request, or counts it for the next line.
func (d *deniedLog) add(r proxy.RequestRecord) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.later == nil {
		d.later = map[access.Reason]*deniedRequests{}
	}
	if waiting := d.later[r.Denied]; waiting != nil {
		waiting.count++
		waiting.last = r
		return
	}
	d.write(r, 1)
	d.later[r.Denied] = &deniedRequests{}
	time.AfterFunc(deniedLogInterval, func() { d.flush(r.Denied) })
}

// flush logs what was counted for a reason.
func (d *deniedLog) flush(reason access.Reason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	waiting := d.later[reason]
	if waiting.count == 0 {
		delete(d.later, reason)
		return
	}
	d.write(waiting.last, waiting.count)
	*waiting = deniedRequests{}
	time.AfterFunc(deniedLogInterval, func() { d.flush(reason) })
}

func (d *deniedLog) write(last proxy.RequestRecord, count int) {
	d.log.Warn("requests refused; method, path, status and caller are those of the last one",
		zap.String("reason", string(last.Denied)), zap.Int("count", count),
		zap.String("method", printable.Escape(last.Method, maxMethod)), zap.String("path", last.Path), zap.Int("status", last.Status), callerField(last.Caller))
}

// callerField names a caller, if it is known.
func callerField(name string) zap.Field {
	if name == "" {
		return zap.Skip()
	}
	return zap.String("caller", name)
}
