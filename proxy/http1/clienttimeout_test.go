package http1_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// timeIn runs a round trip in a bubble, and returns how long it took.
func timeIn(t *testing.T, serve func(c *upstreamConn), change func(r *http1.ClientRequest)) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := pipeUpstream(3*time.Second, serve)
		r := newRequest(t, "POST")
		change(r)
		start := time.Now()
		_, _, err = u.roundTrip(r)
		took = time.Since(start)
		u.close()
	})
	return took, err
}

func TestOnlyTheSilenceOfTheUpstreamTimesOut(t *testing.T) {
	known := func(r *http1.ClientRequest) { r.Body = []byte("ok") }
	slow := func(pause time.Duration, parts int) func(r *http1.ClientRequest) {
		return func(r *http1.ClientRequest) {
			body, w := newStream()
			r.ContentLength, r.Stream = -1, body
			go func() {
				for range parts {
					time.Sleep(pause)
					_, _ = w.Write([]byte("part"))
				}
				_ = w.Close()
			}()
		}
	}
	drip := func(text string, every time.Duration) func(c *upstreamConn) {
		return func(c *upstreamConn) {
			_, _ = readAll(c.request().Body)
			for _, b := range []byte(text) {
				time.Sleep(every)
				c.send(string(b))
			}
		}
	}
	silent := func(c *upstreamConn) { _, _ = readAll(c.request().Body) }
	unread := func(c *upstreamConn) {
		c.request()
		time.Sleep(time.Minute)
	}
	slowReader := func(c *upstreamConn) {
		r := c.request()
		for n, err := 1, error(nil); n > 0 && err == nil; time.Sleep(2 * time.Second) {
			n, err = r.Body.Read(make([]byte, 32<<10))
		}
		c.send(okResponse)
	}
	slowerBody := func(c *upstreamConn) {
		silent(c)
		c.send(okResponse[:len(okResponse)-1])
		time.Sleep(time.Hour)
		c.send("k")
	}
	for name, test := range map[string]struct {
		serve  func(c *upstreamConn)
		change func(r *http1.ClientRequest)
		took   time.Duration
		op     string // that times out; empty: none
	}{
		"silent":                          {silent, known, 3 * time.Second, "read"},
		"slow header":                     {drip(okResponse, time.Second), known, 3 * time.Second, "read"},
		"1xx do not extend it":            {drip(strings.Repeat("HTTP/1.1 103 X\r\n\r\n", 9), 50*time.Millisecond), known, 3 * time.Second, "read"},
		"slow body":                       {drip(okResponse, 70*time.Millisecond), known, time.Duration(len(okResponse)) * 70 * time.Millisecond, ""},
		"slower body":                     {slowerBody, func(*http1.ClientRequest) {}, time.Hour, ""},
		"slower body after an upload":     {slowerBody, slow(0, 1), time.Hour, ""},
		"begins when the request is sent": {silent, slow(10*time.Second, 3), 33 * time.Second, "read"},
		"begins when a known body is sent": {func(c *upstreamConn) {
			r := c.request()
			time.Sleep(2 * time.Second)
			_, _ = readAll(r.Body)
			time.Sleep(2 * time.Second)
			c.send(okResponse)
		}, func(r *http1.ClientRequest) { r.Body = make([]byte, 64<<10) }, 4 * time.Second, ""},
		"pauses of the app do not count":       {each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }), slow(time.Hour, 3), 3 * time.Hour, ""},
		"the upstream does not read":           {unread, slow(0, 1), 3*time.Second + 100*time.Millisecond, "write"},
		"the upstream reads nothing, known":    {func(*upstreamConn) { time.Sleep(time.Minute) }, known, 3*time.Second + 100*time.Millisecond, "write"},
		"the upstream reads nothing of a long": {unread, func(r *http1.ClientRequest) { r.Body = make([]byte, 200_000) }, 3*time.Second + 100*time.Millisecond, "write"},
		"the upstream reads slowly":            {slowReader, func(r *http1.ClientRequest) { r.Body = make([]byte, 200_000) }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			took, err := timeIn(t, test.serve, test.change)
			op := ""
			if failed := (*net.OpError)(nil); errors.As(err, &failed) && failed.Timeout() {
				op = failed.Op
			}
			if op != test.op || op == "" && err != nil || test.took != 0 && took != test.took {
				t.Errorf("got %v after %s, want a timeout of %q after %s", err, took, test.op, test.took)
			}
		})
	}
}
