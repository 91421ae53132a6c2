package http1

import (
	"context"
	"errors"
	"os"
	"time"
)

// goneWatchDelay is how long a request is served before the watch begins. Most are faster, and need no second goroutine.
const goneWatchDelay = 10 * time.Millisecond

// goneWatch notices that the client goes away while its request is served: after the body was read, and while the client waits for
// "100 Continue". It is guarded by conn.mu.
type goneWatch struct {
	timer    *time.Timer
	armed    bool          // nothing else reads from the connection
	reading  chan struct{} // closed when the goroutine that reads has ended; nil without one
	gone     error         // why the client has gone: io.EOF, or a failure, which a connection reports only once
	canceler Canceler
	context  context.Context
	cancel   context.CancelFunc
}

// armWatch begins to watch soon. Nothing must read from the connection until stopWatch.
func (c *conn) armWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.armed || c.gone != nil:
		return
	case c.timer == nil:
		c.timer = time.AfterFunc(goneWatchDelay, c.watch)
	default:
		c.timer.Reset(goneWatchDelay)
	}
	c.armed = true
}

// watch reads what the client sends meanwhile: the beginning of later requests. It runs on the goroutine of the timer.
func (c *conn) watch() {
	c.mu.Lock()
	if !c.armed || c.reading != nil { // the timer was stopped too late
		c.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	c.reading = ended
	c.setDeadline(time.Time{})
	c.mu.Unlock()
	defer close(ended)
	const maxReadAhead = 4 << 10 // behind more, the end of the connection is not seen
	for most := len(c.buffer.unread()) + maxReadAhead; len(c.buffer.unread()) < most; {
		if err := c.buffer.await(c.stream, c.poller); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) { // or else stopWatch has interrupted it
				c.clientGone(err)
			}
			return
		}
	}
}

// stopWatch ends the watch.
func (c *conn) stopWatch() {
	c.mu.Lock()
	armed, reading := c.armed, c.reading
	c.armed, c.reading = false, nil
	if reading != nil {
		c.setDeadline(aLongTimeAgo)
	}
	c.mu.Unlock()
	switch {
	case reading != nil:
		<-reading
		c.mu.Lock()
		if !c.requestBody.interrupted {
			c.setDeadline(time.Time{})
		}
		c.mu.Unlock()
	case armed:
		c.timer.Stop()
	}
}

// releaseRequest ends the watch, and whatever belongs to the request.
func (c *conn) releaseRequest() {
	c.stopWatch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
	c.canceler, c.context, c.cancel = nil, nil, nil
	c.requestBody.unread, c.requestBody.broken, c.requestBody.interrupted = false, false, false
}

// clientGone ends what the request waits for.
func (c *conn) clientGone(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = reason
	if c.canceler != nil {
		c.canceler.Cancel() // not after CancelWhenGone has replaced it
	}
	if c.cancel != nil {
		c.cancel()
	}
}

// CancelWhenGone implements Caller.
func (r *Request) CancelWhenGone(c Canceler) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.conn.canceler = c; c != nil && r.conn.gone != nil {
		c.Cancel()
	}
}

// Context is done when the client has gone, and when the request has ended.
func (r *Request) Context() context.Context {
	c := r.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.context == nil {
		if c.context, c.cancel = context.WithCancel(context.Background()); c.gone != nil {
			c.cancel()
		}
	}
	return c.context
}

// Gone reports whether the client has gone away: it closed or half-closed the connection, or the connection failed. It is
// noticed within some milliseconds while a request waits.
func (r *Request) Gone() bool {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	return r.conn.gone != nil
}
