package http1_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

func TestCancelEndsExchange(t *testing.T) {
	silent := func(c *upstreamConn) { c.request() }
	stuck := func(c *upstreamConn) {
		c.request()
		time.Sleep(time.Hour)
	}
	for name, test := range map[string]struct {
		serve  func(c *upstreamConn)
		change func(r *http1.ClientRequest)
	}{
		"before the response":  {silent, func(*http1.ClientRequest) {}},
		"unread body":          {stuck, func(r *http1.ClientRequest) { r.Body = make([]byte, 200_000) }},
		"stream that pauses":   {silent, func(r *http1.ClientRequest) { r.Stream, _ = newStream(); r.ContentLength = -1 }},
		"while the body comes": {func(c *upstreamConn) { c.request(); c.send("HTTP/1.1 200 OK\r\n\r\nok"); c.request() }, func(*http1.ClientRequest) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := pipeUpstream(time.Minute, test.serve)
				r := newRequest(t, "GET")
				test.change(r)
				time.AfterFunc(time.Second, r.Caller.(*caller).goAway)
				start := time.Now()
				_, _, err := u.roundTrip(r)
				if took := time.Since(start); err == nil || took != time.Second {
					t.Errorf("got %v after %s, want an error after 1 s", err, took)
				}
				if name != "while the body comes" && !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want context.Canceled", err)
				}
				if u.conns.Load() != 1 {
					t.Errorf("got %d dials, want 1", u.conns.Load())
				}
				u.close()
			})
		})
	}
}

func TestCallerThatHasGoneSendsNothing(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
	u.mustSucceed(t, newRequest(t, "GET"))
	for range 2 { // with an idle connection, and without
		r := newRequest(t, "GET")
		r.Caller.(*caller).goAway()
		if _, _, err := u.roundTrip(r); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
	if got := u.requests.Load(); got != 1 {
		t.Errorf("got %d requests, want 1", got)
	}
}

// keepsCanceler is a Caller that cancels too late.
type keepsCanceler struct {
	*caller
	canceler http1.Canceler
}

func (k *keepsCanceler) CancelWhenGone(c http1.Canceler) {
	if c != nil {
		k.canceler = c
	}
}

func TestCancelAfterEndKeepsConnection(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
	for range 3 {
		late := &keepsCanceler{caller: newCaller(t)}
		r := newRequest(t, "POST")
		r.Caller = late
		u.mustSucceed(t, r)
		late.canceler.Cancel()
	}
	u.wantCounts(t, 1, 3)
}

// A caller whose exchange has ended may go away while its connection serves another.
func TestCallerDoesNotCancelNextExchange(t *testing.T) {
	first := newRequest(t, "GET")
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		if c.upstream.requests.Load() == 2 {
			first.Caller.(*caller).goAway()
		}
		c.send(okResponse)
	}))
	u.mustSucceed(t, first)
	u.mustSucceed(t, newRequest(t, "POST")) // is not sent again
	u.wantCounts(t, 1, 2)
}
