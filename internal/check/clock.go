package check

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxClockError is the largest tolerated difference between the clocks. Certificates would tolerate more, but a token that
// is valid for minutes does not, and NTP keeps a clock right to a fraction of a second.
const maxClockError = time.Minute

// dateRecorder is a transport that compares the Date of each response with the local clock.
type dateRecorder struct {
	next http.RoundTripper

	mu   sync.Mutex
	sent bool
	last *clockSkew
}

// clockSkew is how far a server's clock is ahead of this machine's.
type clockSkew struct {
	ahead time.Duration
}

// RoundTrip implements http.RoundTripper.
func (d *dateRecorder) RoundTrip(request *http.Request) (*http.Response, error) {
	sent := time.Now()
	d.mu.Lock()
	d.sent = true
	d.mu.Unlock()
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = measureClockSkew(response.Header.Get("Date"), sent, time.Now())
	return response, nil
}

// used reports whether a request was sent.
func (d *dateRecorder) used() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent
}

// skew returns that of the last response; nil if there was none, or it had no valid Date.
func (d *dateRecorder) skew() *clockSkew {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// measureClockSkew compares a Date with the middle between request and response. A Date has no fraction of a second (RFC 9110
// section 5.6.7), so on average it is half a second late.
func measureClockSkew(date string, sent, received time.Time) *clockSkew {
	remote, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	local := sent.Round(0).Add(received.Sub(sent) / 2)
	return &clockSkew{remote.Add(time.Second / 2).Sub(local)}
}

func (s *clockSkew) tooLarge() bool { return s.ahead.Abs() > maxClockError }

// clock runs the step that compares this machine's clock with the login server's.
func (c *checker) clock(ctx context.Context, skew *clockSkew) {
	step := Step{Name: "clock", Target: hostPort(c.Login.URL)}
	if skew == nil {
		c.skip(ctx, step, "skipped: the login server sent no Date")
		return
	}
	c.step(ctx, step, func(context.Context) finding {
		if !skew.tooLarge() {
			return passed("in sync (within a minute)")
		}
		side := "behind"
		if skew.ahead < 0 {
			side = "ahead of"
		}
		return finding{
			text:   fmt.Sprintf("this machine's clock is %v %s the login server's", skew.ahead.Abs().Round(time.Second), side),
			cause:  CauseMachine,
			advice: "Synchronise the clock (timedatectl set-ntp true; for a container or virtual machine, on its host). With a wrong clock, certificates and tokens look expired or not yet valid.",
		}
	})
}
