package server

import (
	"sync/atomic"
	"time"
)

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
