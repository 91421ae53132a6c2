package http1

import (
	"context"
	"errors"
	"os"
	"time"
)

// goneWatchDelay is how long a request is served before the server begins to watch whether the client is still there. Most
// requests are faster, and need no second goroutine.
const goneWatchDelay = 10 * time.Millisecond

// maxReadAhead is how much of later requests is read while one is served. Behind more, the end of the connection is not seen.
const maxReadAhead = 4 << 10

// goneWatch notices that the client of a request goes away while the request is served: after its body was read, and while the client
// waits for "100 Continue". The fields are guarded by conn.mu.
type goneWatch struct {
	conn *conn

	timer    *time.Timer
	armed    bool          // nothing else reads from the connection
	reading  chan struct{} // closed when the goroutine that reads has ended; nil without one
	gone     error         // why the client has gone: io.EOF, or a failure, which a connection reports only once
	canceler Canceler
	context  context.Context
	cancel   context.CancelFunc
}

// arm begins to watch soon. Nothing must read from the connection until stop or disarm.
func (w *goneWatch) arm() {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	switch {
	case w.armed || w.gone != nil:
		return
	case w.timer == nil:
		w.timer = time.AfterFunc(goneWatchDelay, w.run)
	default:
		w.timer.Reset(goneWatchDelay)
	}
	w.armed = true
}

// run reads what the client sends meanwhile: the beginning of later requests. It runs on the goroutine of the timer.
func (w *goneWatch) run() {
	c := w.conn
	c.mu.Lock()
	if !w.armed || w.reading != nil { // the timer was stopped too late
		c.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	w.reading = ended
	c.setDeadline(time.Time{})
	c.mu.Unlock()
	defer close(ended)
	for most := len(c.buffer.unread()) + maxReadAhead; len(c.buffer.unread()) < most; {
		switch err := c.buffer.await(c.stream, c.poller); {
		case errors.Is(err, os.ErrDeadlineExceeded): // stop has interrupted it
			return
		case err != nil:
			w.cancelRequest(err)
			return
		}
	}
}

// stop ends the watch.
func (w *goneWatch) stop() {
	w.conn.mu.Lock()
	armed, reading := w.armed, w.reading
	w.armed, w.reading = false, nil
	if reading != nil {
		w.conn.setDeadline(aLongTimeAgo)
	}
	w.conn.mu.Unlock()
	switch {
	case reading != nil:
		<-reading
	case armed:
		w.timer.Stop()
	}
}

// disarm ends the watch, and whatever belongs to the request.
func (w *goneWatch) disarm() {
	w.stop()
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
	}
	w.canceler, w.context, w.cancel = nil, nil, nil
	c.requestBody.unread, c.requestBody.broken, c.requestBody.interrupted = false, false, false
}

// cancelRequest ends what the request waits for, because the client has gone.
func (w *goneWatch) cancelRequest(reason error) {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	w.gone = reason
	if w.canceler != nil {
		w.canceler.Cancel() // not after CancelWhenGone has replaced it
	}
	if w.cancel != nil {
		w.cancel()
	}
}

// CancelWhenGone implements Caller.
func (r *Request) CancelWhenGone(c Canceler) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	r.conn.goneWatch.canceler = c
	if r.conn.goneWatch.gone != nil && c != nil {
		c.Cancel()
	}
}

// Context is done when the client has gone, and when the request has ended.
func (r *Request) Context() context.Context {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	w := &r.conn.goneWatch
	if w.context == nil {
		w.context, w.cancel = context.WithCancel(context.Background())
		if w.gone != nil {
			w.cancel()
		}
	}
	return w.context
}

// Gone reports whether the client has gone away: it closed or half-closed the connection, or the connection failed. It is
// noticed within some milliseconds while a request waits.
func (r *Request) Gone() bool {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.conn.goneWatch.gone != nil
}
