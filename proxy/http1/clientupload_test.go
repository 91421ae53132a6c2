package http1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

func TestStreamsBody(t *testing.T) {
	u := startUpstream(t, func(c *upstreamConn) {
		for r := c.request(); r != nil; r = c.request() {
			body, err := readAll(r.Body)
			if err != nil {
				return
			}
			text := fmt.Sprint(r.ContentLength, " ", body, " ", r.Trailer)
			c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
		}
	})
	long := strings.Repeat("0123456789", 10_000)
	for _, test := range []struct {
		length int64
		parts  []string
		fields http1.Fields
		want   string
	}{
		{2, []string{"ok"}, nil, "2 ok map[]"},
		{100_000, []string{long}, nil, "100000 " + long + " map[]"},
		{-1, []string{"a", "b", long}, nil, "-1 ab" + long + " map[Sum:[1]]"},
		{-1, nil, nil, "-1  map[Sum:[1]]"},
		{-1, []string{"ok"}, http1.Fields{{Name: "Trailer", Value: "Sum"}}, "-1 ok map[Sum:[1]]"},
	} {
		r := newRequest(t, "POST")
		r.Fields = append(r.Fields, test.fields...)
		r.ContentLength = test.length
		body, w := newStream(http1.Field{Name: "Sum", Value: "1"})
		r.Stream = body
		go func() {
			for _, part := range test.parts {
				_, _ = io.WriteString(w, part)
			}
			_ = w.Close()
		}()
		if got := u.mustSucceed(t, r); got != test.want {
			t.Errorf("got %.80q, want %.80q", got, test.want)
		}
	}
	r := newRequest(t, "PUT")
	r.Body, r.ContentLength = []byte(long), int64(len(long))
	if got := u.mustSucceed(t, r); got != "100000 "+long+" map[]" {
		t.Errorf("got %.80q for a long known body", got)
	}
	u.wantCounts(t, 1, 6) // each upload leaves the connection in order
}

// What the app sends reaches the upstream at once, header included.
func TestDoesNotDelayStream(t *testing.T) {
	arrived := make(chan string)
	u := startUpstream(t, func(c *upstreamConn) {
		r := c.request()
		arrived <- "header"
		body := bufio.NewReader(r.Body)
		for range 3 {
			line, _ := body.ReadString('\n')
			arrived <- line
		}
		c.send(okResponse)
	})
	r := newRequest(t, "POST")
	r.ContentLength = -1
	body, w := newStream()
	r.Stream = body
	result := make(chan error)
	go func() {
		_, _, err := u.roundTrip(r)
		result <- err
	}()
	if got := <-arrived; got != "header" {
		t.Errorf("got %q before the body", got)
	}
	for range 3 {
		_, _ = io.WriteString(w, "line\n")
		if got := <-arrived; got != "line\n" {
			t.Errorf("got %q, want a line", got)
		}
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// An upstream must not take a part of a body for the whole.
func TestPartialUploadNeverLooksComplete(t *testing.T) {
	for _, length := range []int64{9, -1} {
		for _, failure := range []error{io.EOF, errors.New("chunk")} {
			if length < 0 && errors.Is(failure, io.EOF) {
				continue // that is its end
			}
			seen := make(chan error, 1)
			u := startUpstream(t, func(c *upstreamConn) {
				_, err := readAll(c.request().Body)
				seen <- err
			})
			r := newRequest(t, "POST")
			r.ContentLength = length
			body, w := newStream()
			r.Stream = body
			go func() {
				_, _ = io.WriteString(w, "ok")
				_ = w.CloseWithError(failure)
			}()
			_, _, err := u.roundTrip(r)
			cause := failure
			if errors.Is(failure, io.EOF) {
				cause = io.ErrUnexpectedEOF
			}
			if !errors.Is(err, http1.ErrRequestBody) || !errors.Is(err, cause) {
				t.Errorf("length %d, %v: got %v, want ErrRequestBody and %v", length, failure, err, cause)
			}
			if err := <-seen; err == nil {
				t.Errorf("length %d, %v: the upstream saw a complete body", length, failure)
			}
		}
	}
}

// An upstream that waits for the rest of a body that has broken off must see that the rest does not come.
func TestBrokenStreamEndsConnectionAtOnce(t *testing.T) {
	for _, length := range []int64{9, -1} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			seen := make(chan time.Duration, 1)
			u := pipeUpstream(time.Hour, func(c *upstreamConn) {
				if body, err := readAll(c.request().Body); err == nil {
					t.Errorf("length %d: the upstream saw a complete body, %q", length, body)
				}
				seen <- time.Since(start)
			})
			r := newRequest(t, "POST")
			body, w := newStream()
			r.ContentLength, r.Stream = length, body
			go func() {
				_, _ = io.WriteString(w, "ok")
				time.Sleep(time.Minute)
				_ = w.CloseWithError(io.ErrNoProgress)
			}()
			if _, _, err := u.roundTrip(r); !errors.Is(err, http1.ErrRequestBody) || time.Since(start) != time.Minute {
				t.Errorf("length %d: got %v after %s, want ErrRequestBody after 1 min", length, err, time.Since(start))
			}
			if after := <-seen; after != time.Minute {
				t.Errorf("length %d: the upstream saw the end after %s, want 1 min", length, after)
			}
			u.close()
		})
	}
}

// While the app pauses in its upload, the upstream ends the exchange.
func TestNoticesUpstreamDuringPause(t *testing.T) {
	for name, test := range map[string]struct {
		die    func(c *upstreamConn)
		status int // 0 means an error
	}{
		"closes":              {func(*upstreamConn) {}, 0},
		"resets":              {func(c *upstreamConn) { c.reset() }, 0},
		"sends nonsense":      {func(c *upstreamConn) { c.send("nonsense"); c.request() }, 0},
		"sends a bad line":    {func(c *upstreamConn) { c.send("HTTP/1.1 no\r\n"); c.request() }, 0},
		"answers":             {func(c *upstreamConn) { c.send("HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno"); c.request() }, 413},
		"answers and closes":  {func(c *upstreamConn) { c.send("HTTP/1.1 413 Large\r\n\r\nno") }, 413},
		"100 and nonsense":    {func(c *upstreamConn) { c.send("HTTP/1.1 100 C\r\n\r\nnonsense"); c.request() }, 0},
		"answers without end": {func(c *upstreamConn) { c.send("HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n"); c.request() }, 413},
	} {
		for _, length := range []int64{9, -1} {
			t.Run(fmt.Sprint(name, " ", length), func(t *testing.T) {
				t.Parallel()
				u := startUpstream(t, func(c *upstreamConn) {
					r := c.request()
					_, _ = r.Body.Read(make([]byte, 1))
					test.die(c)
				})
				u.client.ResponseTimeout = 0 // which would end it too
				r := newRequest(t, "POST")
				r.ContentLength = length
				body, w := newStream()
				r.Stream = body
				go func() { _, _ = io.WriteString(w, "a") }()
				response, _, err := u.roundTrip(r)
				if response.Status != test.status || (err == nil) != (test.status != 0) {
					t.Errorf("got %d, %v, want %d", response.Status, err, test.status)
				}
				if _, err := io.WriteString(w, "b"); err == nil {
					t.Error("the stream is still being read")
				}
			})
		}
	}
}

// The upstream refuses an upload that it does not read, and closes: a reset follows its response, which must not be lost.
func TestKeepsEarlyResponseDespiteReset(t *testing.T) {
	for name, response := range map[string]string{
		"with a body":    "HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!",
		"without a body": "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n",
	} {
		for _, kind := range []string{"stream", "chunked", "known", "long"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				u := startUpstream(t, func(c *upstreamConn) {
					c.request()
					c.send(response)
				})
				for i := range 20 {
					r := newRequest(t, "POST")
					data := make([]byte, 5<<20)
					switch kind {
					case "known":
						r.Body = data[:64<<10]
					case "long":
						r.Body = data
					default:
						if r.ContentLength = -1; kind == "stream" {
							r.ContentLength = int64(len(data))
						}
						body, w := newStream()
						r.Stream = body
						go func() {
							_, _ = w.Write(data)
							_ = w.Close()
						}()
					}
					got, _, err := u.roundTrip(r)
					if err != nil || got.Status != 413 {
						t.Fatalf("%d: got %d, %v, want 413", i, got.Status, err)
					}
				}
			})
		}
	}
}

// An early response does not end an upload that the upstream goes on reading.
func TestUploadGoesOnAfterEarlyResponse(t *testing.T) {
	received := make(chan int, 1)
	u := startUpstream(t, func(c *upstreamConn) {
		r := c.request()
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		body, err := readAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		received <- len(body)
		c.send("0\r\n\r\n")
		c.request()
	})
	r := newRequest(t, "POST")
	r.ContentLength = -1
	body, w := newStream()
	r.Stream = body
	response, err := u.client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(make([]byte, 100_000))
	_ = w.Close()
	if got, err := readAll(response.Body); err != nil || got != "ok" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := <-received; n != 100_000 {
		t.Errorf("the upstream received %d bytes, want 100000", n)
	}
	_ = response.Body.Close()
}

// A response that has begun may take as long as it needs, whether its upstream reads the rest of the upload or not.
func TestUploadDoesNotLimitEarlyResponse(t *testing.T) {
	for name, read := range map[string]bool{"read": true, "not read": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := pipeUpstream(3*time.Second, func(c *upstreamConn) {
					r := c.request()
					c.send(okResponse[:len(okResponse)-2])
					if read {
						_, _ = readAll(r.Body)
					}
					time.Sleep(time.Hour)
					c.send("ok")
				})
				r := newRequest(t, "POST")
				body, w := newStream()
				r.ContentLength, r.Stream = -1, body
				response, err := u.client.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					_, _ = io.WriteString(w, "part")
					_ = w.Close()
				}()
				if got, err := readAll(response.Body); err != nil || got != "ok" {
					t.Errorf("got %q, %v, want ok", got, err)
				}
				_ = response.Body.Close()
				u.close()
			})
		})
	}
}

// An upstream may answer before the last write of a body returns. It has 100 ms to read that; then its connection is closed.
func TestCloseWaitsBrieflyForLastWrite(t *testing.T) {
	for after, dials := range map[time.Duration]int32{0: 1, 50 * time.Millisecond: 1, time.Minute: 2} {
		synctest.Test(t, func(t *testing.T) {
			u := pipeUpstream(time.Hour, func(c *upstreamConn) {
				for r := c.request(); r != nil; r = c.request() {
					c.send(okResponse)
					time.Sleep(after)
					_, _ = readAll(r.Body)
				}
			})
			for range 2 {
				r := newRequest(t, "POST")
				body, w := newStream()
				r.ContentLength, r.Stream = 2, body
				response, err := u.client.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(w, "ok")
				_, _ = readAll(response.Body)
				synctest.Wait()
				start := time.Now()
				_ = response.Body.Close()
				if took, most := time.Since(start), min(after, 100*time.Millisecond); took != most {
					t.Errorf("read after %s: Close took %s, want %s", after, took, most)
				}
			}
			if got := u.conns.Load(); got != dials {
				t.Errorf("read after %s: got %d connections, want %d", after, got, dials)
			}
			u.close()
		})
	}
}

// A response that is no HTTP ends the last write too, although Close would wait for that.
func TestInvalidResponseEndsLastWriteAtOnce(t *testing.T) {
	took, err := timeIn(t, func(c *upstreamConn) {
		c.request()
		c.send("nonsense\r\n\r\n")
		time.Sleep(time.Hour)
	}, func(r *http1.ClientRequest) {
		body, w := newStream()
		r.ContentLength, r.Stream = 2, body
		go func() { _, _ = io.WriteString(w, "ok") }()
	})
	if invalid := (*http1.InvalidResponseError)(nil); !errors.As(err, &invalid) || took != 0 {
		t.Errorf("got %v after %s, want an invalid response at once", err, took)
	}
}
