package check

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// maxClockError is the largest tolerated difference between the clocks. Certificates would tolerate more, but a token that
// is valid for minutes does not, and NTP keeps a clock right to a fraction of a second.
const maxClockError = time.Minute

// dateRecorder is a transport that compares the Date of each response with the local clock. It is not safe for concurrent use.
type dateRecorder struct {
	next http.RoundTripper
	used bool // a request was sent
	// skew is how far the server's clock was ahead of this machine's in the last response; nil without a valid Date.
	skew *time.Duration
}

// RoundTrip implements http.RoundTripper.
func (d *dateRecorder) RoundTrip(request *http.Request) (*http.Response, error) {
	sent := time.Now()
	d.used = true
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	d.skew = measureClockSkew(response.Header.Get("Date"), sent, time.Now())
	return response, nil
}

// measureClockSkew compares a Date with the middle between request and response. A Date has no fraction of a second (RFC 9110
// section 5.6.7), so on average it is half a second late. It returns nil if date is not valid.
func measureClockSkew(date string, sent, received time.Time) *time.Duration {
	remote, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	local := sent.Round(0).Add(received.Sub(sent) / 2)
	ahead := remote.Add(time.Second / 2).Sub(local)
	return &ahead
}

func isTooLarge(skew time.Duration) bool { return skew.Abs() > maxClockError }

// checkClock runs the step that compares this machine's clock with the login server's, once.
func (c *checker) checkClock(ctx context.Context) {
	if c.clockChecked {
		return
	}
	c.clockChecked = true
	step := Step{Name: "clock", Target: hostPort(c.Login.URL)}
	if c.login.skew == nil {
		c.skipStep(ctx, step, "skipped: the login server sent no Date")
		return
	}
	c.runStep(ctx, step, func(context.Context) Step {
		skew := *c.login.skew
		if !isTooLarge(skew) {
			return passed("in sync (within a minute)")
		}
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		return failed(CauseMachine, fmt.Sprintf("this machine's clock is %v %s the login server's", skew.Abs().Round(time.Second), side),
			"Synchronise the clock (timedatectl set-ntp true; for a container or virtual machine, on its host). With a wrong clock, certificates and tokens look expired or not yet valid.")
	})
}
