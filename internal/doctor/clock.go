package doctor

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxClockError is how far the clocks may be apart. Certificates would bear more; but a token that lives for minutes does
// not, and a clock that NTP keeps is right to a fraction of a second.
const maxClockError = time.Minute

// timed is a transport that takes down the Date of each answer.
type timed struct {
	next http.RoundTripper

	mu   sync.Mutex
	sent bool
	last *reading
}

// reading is how far a server's clock is ahead of this machine's.
type reading struct {
	ahead time.Duration
}

// RoundTrip sends the request.
func (t *timed) RoundTrip(request *http.Request) (*http.Response, error) {
	sent := time.Now()
	t.mu.Lock()
	t.sent = true
	t.mu.Unlock()
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = read(response.Header.Get("Date"), sent, time.Now())
	return response, nil
}

// asked reports whether the server was sent anything.
func (t *timed) asked() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}

// reading returns that of the last answer; nil if there was none, or it did not tell the time.
func (t *timed) reading() *reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// read compares a Date with the middle between request and answer. A Date has no fraction of a second (RFC 9110 section
// 5.6.7), so that on average it is half a second past.
func read(date string, sent, answered time.Time) *reading {
	there, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	here := sent.Round(0).Add(answered.Sub(sent) / 2)
	return &reading{there.Add(time.Second / 2).Sub(here)}
}

func (r *reading) isWrong() bool { return r.ahead.Abs() > maxClockError }

// clock is the step that tells what the login server's answer said of the time.
func (e *examination) clock(ctx context.Context, r *reading) {
	step := Step{Name: "clock", Target: hostPort(e.Login.URL)}
	if r == nil {
		e.skip(ctx, step, "not compared, since the login server has not told the time")
		return
	}
	e.step(ctx, step, func(context.Context) finding {
		if !r.isWrong() {
			return fine("this machine's clock agrees with the login server's, to a minute")
		}
		side := "behind"
		if r.ahead < 0 {
			side = "ahead of"
		}
		return finding{
			text:   fmt.Sprintf("this machine's clock is %v %s the login server's", r.ahead.Abs().Round(time.Second), side),
			fault:  Machine,
			advice: "Set the clock and switch NTP on (timedatectl set-ntp true; in a container or a virtual machine, on its host): with a wrong clock certificates and tokens seem to have ended, or not yet to have begun.",
		}
	})
}
