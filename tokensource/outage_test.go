package tokensource_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

// outage is a fleet whose login server is down for a while, and the requests that need its tokens.
type outage struct {
	*fleet
	fault    string        // of the login server
	gap      time.Duration // between two requests
	down, up time.Duration // since the beginning

	mu    sync.Mutex
	waits []wait
}

// wait is a request that had to wait.
type wait struct {
	began, ended time.Time
	expired      time.Time // when the token had expired that it missed; the start: there has been none
}

// newOutage has one broker without a store, or some that share tokens.
func newOutage(t *testing.T, shared int, lifetime, delay time.Duration) *outage {
	t.Helper()
	o := &outage{fleet: newFleet(t, 1, lifetime, nil), fault: isDown, gap: 20 * time.Millisecond}
	if shared > 0 {
		o.fleet = newFleet(t, shared, lifetime, newMemoryStore())
	}
	o.login.delay = delay
	return o
}

// run sends requests until a minute after the outage.
func (o *outage) run(random *rand.Rand) {
	time.AfterFunc(o.down, func() { o.login.set(o.fault) })
	time.AfterFunc(o.up, func() { o.login.set("") })
	o.start()
	var waiting sync.WaitGroup
	for time.Since(o.began) < o.up+time.Minute {
		pause := time.Duration((0.5 + random.Float64()) * float64(o.gap))
		untilExpiry := time.Hour
		for _, b := range o.brokers {
			if _, _, ok := b.Current(); !ok {
				waiting.Go(func() { o.wait(b) })
			}
			untilExpiry = min(untilExpiry, b.Snapshot().Remaining)
		}
		time.Sleep(max(pause, untilExpiry-time.Second)) // until then, no request can have to wait
	}
	waiting.Wait()
}

func (o *outage) wait(b *broker) {
	this := wait{began: time.Now(), expired: o.began}
	if snapshot := b.Snapshot(); !snapshot.Expires.IsZero() {
		this.expired = snapshot.Expires
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), 10*time.Second)
	defer cancel()
	_, _, _ = b.Wait(ctx)
	this.ended = time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = append(o.waits, this)
}

// check checks how long requests have waited once the login server had healed, and how many token requests there were.
func (o *outage) checkWaits() {
	o.t.Helper()
	healed := o.began.Add(o.up)
	for _, w := range o.waits {
		if w.expired.Equal(o.began) && w.began.Sub(o.began) < o.login.delay {
			continue // for the first token
		}
		since := w.began
		if healed.After(since) {
			since = healed
		}
		limit := 2500 * time.Millisecond
		switch {
		case w.expired.Sub(healed) >= time.Second+o.login.delay:
			limit = 0
		case healed.Sub(w.expired) >= 30*time.Second:
			limit = 5500 * time.Millisecond
		}
		if got := w.ended.Sub(since); got > limit {
			o.t.Fatalf("%v: a request waited %v, want at most %v; the token expired at %v, the request began at %v; attempts %v",
				o, got, limit, w.expired.Sub(o.began), w.began.Sub(o.began), o.attempts())
		}
	}
	if n := o.login.busiest(10*time.Second, 0); n > 15 {
		o.t.Fatalf("%v: %d token requests in 10 s, want at most 15: %v", o, n, o.attempts())
	}
}

func (o *outage) attempts() (all []time.Duration) {
	for _, request := range o.login.all() {
		all = append(all, request.at.Sub(o.began))
	}
	return all
}

func (o *outage) String() string {
	return fmt.Sprintf("%d with a store: %t, %v tokens, outage (%s, %v) from %v to %v, a request every %v, %v for a token",
		len(o.brokers), o.store != nil, o.login.lifetime, o.fault, o.login.header, o.down, o.up, o.gap, o.login.delay)
}

// TestNoRequestWaitsLongAfterAnOutage checks random outages. A failure shows all that matters.
func TestNoRequestWaitsLongAfterAnOutage(t *testing.T) {
	runs := 210
	if testing.Short() || brokertest.RaceDetector { // with it, all of them would take half a minute
		runs = 60
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(seed), 1))
				upTo := func(limit time.Duration) time.Duration { return time.Duration(random.Int64N(int64(limit))) }
				lifetime := (5*time.Second + upTo(295*time.Second)).Truncate(time.Second)
				o := newOutage(t, []int{0, 1, 3}[seed%3], lifetime, upTo(400*time.Millisecond))
				o.fault = []string{"503", "500", "408", breaks}[random.IntN(4)]
				o.gap = []time.Duration{20 * time.Millisecond, time.Second, 20 * time.Second}[random.IntN(3)]
				if seconds := random.IntN(240) - 120; seconds > 0 {
					o.login.header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
				}
				o.down = upTo(lifetime)
				o.up = o.down + upTo([]time.Duration{10 * time.Second, lifetime, 3 * time.Minute}[random.IntN(3)])
				o.run(random)
				o.checkWaits()
			})
		})
	}
}

// TestNoRequestWaitsAfterTheseOutages has the outages for which requests once waited for many seconds after their end.
func TestNoRequestWaitsAfterTheseOutages(t *testing.T) {
	for _, tc := range []struct {
		lifetime, down, up time.Duration
		header             http.Header
	}{
		{16 * time.Second, 5 * time.Second, 15 * time.Second, nil},
		{60 * time.Second, 30 * time.Second, 58 * time.Second, nil},
		{60 * time.Second, 30 * time.Second, 58 * time.Second, http.Header{"Retry-After": {"120"}}},
		{300 * time.Second, 100 * time.Second, 298900 * time.Millisecond, nil},
		{300 * time.Second, 100 * time.Second, 298 * time.Second, http.Header{"Retry-After": {"120"}}},
	} {
		for run := range 90 {
			shared := []int{0, 1, 3}[run%3]
			t.Run(fmt.Sprintf("%v, %d with a store", tc.lifetime, shared), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					o := newOutage(t, shared, tc.lifetime, 20*time.Millisecond)
					o.down, o.up, o.login.header = tc.down, tc.up, tc.header
					o.run(rand.New(rand.NewPCG(1, 1)))
					for _, w := range o.waits {
						if got := w.ended.Sub(w.began); got > 100*time.Millisecond {
							t.Fatalf("%v: a request waited %v, want at most 0.1 s; attempts %v", o, got, o.attempts())
						}
					}
				})
			})
		}
	}
}
