package http1

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// goneWatchDelay is how long a request is served before the server begins to watch whether the client is still there. Most
// requests are faster, and need no second goroutine.
const goneWatchDelay = 10 * time.Millisecond

// maxReadAhead is how much of later requests is read while one is served. Behind more, the end of the connection is not seen.
const maxReadAhead = 4 << 10

// goneWatch notices that the client of a request goes away while the request is served: after its body was read, and while the client
// waits for "100 Continue".
type goneWatch struct {
	conn *conn

	mu       sync.Mutex
	timer    *time.Timer
	armed    bool
	reading  chan struct{} // closed when the goroutine that reads has ended; nil without one
	early    []byte        // what it has read: the beginning of later requests
	failure  error         // of its Read, unless that was the end: a connection reports a reset only once
	gone     bool
	canceler Canceler
	context  context.Context
	cancel   context.CancelFunc
}

// arm begins to watch soon. Nothing must read from the connection until stop or disarm.
func (w *goneWatch) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed || w.gone {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(goneWatchDelay, w.run)
	} else {
		w.timer.Reset(goneWatchDelay)
	}
}

// run waits for bytes of the client. It runs on the goroutine of the timer.
func (w *goneWatch) run() {
	w.mu.Lock()
	if !w.armed || w.reading != nil {
		w.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	w.reading = ended
	w.conn.setDeadline(time.Time{})
	w.mu.Unlock()
	defer close(ended)
	var part [64]byte
	for len(w.early) < maxReadAhead {
		n, err := w.conn.stream.Read(part[:])
		w.mu.Lock()
		w.early = append(w.early, part[:n]...)
		armed := w.armed
		w.mu.Unlock()
		switch {
		case !armed: // stop has interrupted the Read
			return
		case err != nil:
			if !errors.Is(err, io.EOF) {
				w.failure = err
			}
			w.cancelRequest()
			return
		}
	}
}

// stop ends the watch. What it has read goes into the buffer of the connection.
func (w *goneWatch) stop() {
	w.mu.Lock()
	armed, reading := w.armed, w.reading
	w.armed, w.reading = false, nil
	if reading != nil {
		w.conn.setDeadline(aLongTimeAgo)
	}
	w.mu.Unlock()
	if armed && reading == nil {
		w.timer.Stop()
	}
	if reading == nil {
		return
	}
	<-reading
	w.conn.buffer.add(w.early)
	w.early = w.early[:0]
}

// disarm ends the watch, and whatever belongs to the request.
func (w *goneWatch) disarm() {
	w.stop()
	w.mu.Lock()
	cancel := w.cancel
	w.canceler, w.context, w.cancel = nil, nil, nil
	w.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// cancelRequest ends what the request waits for.
func (w *goneWatch) cancelRequest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	if w.canceler != nil {
		w.canceler.Cancel() // not after CancelWhenGone has replaced it
	}
	if w.cancel != nil {
		w.cancel()
	}
}

// CancelWhenGone implements Caller.
func (r *Request) CancelWhenGone(c Canceler) {
	w := &r.conn.goneWatch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.canceler = c
	if w.gone && c != nil {
		c.Cancel()
	}
}

// Context is done when the client has gone, and when the request has ended.
func (r *Request) Context() context.Context {
	w := &r.conn.goneWatch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.context == nil {
		w.context, w.cancel = context.WithCancel(context.Background())
		if w.gone {
			w.cancel()
		}
	}
	return w.context
}

// Gone reports whether the client has gone away: it closed or half-closed the connection, or the connection failed. It is
// noticed within some milliseconds while a request waits.
func (r *Request) Gone() bool {
	w := &r.conn.goneWatch
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}
