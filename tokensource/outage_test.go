package tokensource_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/tokensource"
)

// outage is a number of sources in a bubble, whose login server is down for a while, and the requests that need their tokens.
type outage struct {
	shared   int           // sources that share tokens; 0: there is one, without a store
	lifetime time.Duration // of the tokens
	delay    time.Duration // of each response
	status   int           // of the responses during the outage; 0: the connection breaks
	header   http.Header   // of the responses during the outage
	gap      time.Duration // between two requests
	down, up time.Duration // since began
	began    time.Time

	mu    sync.Mutex
	sent  []time.Time // the token requests
	waits []wait
}

// wait is a request that had to wait.
type wait struct {
	began, ended time.Time
	expired      time.Time // when the token had expired that it missed; the start: there has been none
}

func (o *outage) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.sent = append(o.sent, time.Now())
	o.mu.Unlock()
	select {
	case <-time.After(o.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	status, header, body := o.status, o.header, ""
	if since := time.Since(o.began); since < o.down || since >= o.up {
		status, header, body = 200, http.Header{}, fmt.Sprintf(`{"access_token":"token%d","expires_in":%d}`, len(o.sent), int(o.lifetime.Seconds()))
	}
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// run sends requests until a minute after the outage.
func (o *outage) run(t *testing.T, random *rand.Rand) {
	t.Helper()
	o.began = time.Now()
	config := tokensource.Config{Credentials: fixed("id", "secret"), Endpoint: tokensource.TokenEndpoint{URL: "http://login.example/", Transport: o}}
	if o.shared > 0 {
		config.Store = newMemoryStore()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running, waiting sync.WaitGroup
	sources := make([]*tokensource.Source, max(1, o.shared))
	for i := range sources {
		var err error
		if sources[i], err = tokensource.New(config); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { sources[i].Run(ctx) })
	}
	for time.Since(o.began) < o.up+time.Minute {
		for _, source := range sources {
			if _, _, ok := source.Current(); !ok {
				waiting.Go(func() { o.wait(ctx, source) })
			}
		}
		time.Sleep(time.Duration((0.5 + random.Float64()) * float64(o.gap)))
	}
	waiting.Wait()
	cancel()
	running.Wait()
}

func (o *outage) wait(ctx context.Context, source *tokensource.Source) {
	this := wait{began: time.Now(), expired: o.began}
	if snapshot := source.Snapshot(); !snapshot.Expires.IsZero() {
		this.expired = snapshot.Expires
	}
	if _, _, err := source.Wait(ctx); err != nil {
		panic(err)
	}
	this.ended = time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = append(o.waits, this)
}

// check checks how long requests have waited once the login server had healed, and how many token requests there were.
func (o *outage) check(t *testing.T) {
	t.Helper()
	healed := o.began.Add(o.up)
	for _, w := range o.waits {
		if w.expired.Equal(o.began) && w.began.Sub(o.began) < o.delay {
			continue // for the first token
		}
		since := w.began
		if healed.After(since) {
			since = healed
		}
		limit := 2500 * time.Millisecond
		switch {
		case w.expired.Sub(healed) >= time.Second+o.delay:
			limit = 0
		case healed.Sub(w.expired) >= 30*time.Second:
			limit = 5500 * time.Millisecond
		}
		if got := w.ended.Sub(since); got > limit {
			t.Fatalf("%v: a request waited %v, want at most %v; the token expired at %v, the request began at %v; attempts %v",
				o, got, limit, w.expired.Sub(o.began), w.began.Sub(o.began), o.attempts())
		}
	}
	for i, first := range o.sent {
		n := 0
		for _, sent := range o.sent[i:] {
			if sent.Sub(first) < 10*time.Second {
				n++
			}
		}
		if n > 15 {
			t.Fatalf("%v: %d token requests in 10 s, want at most 15: %v", o, n, o.attempts())
		}
	}
}

func (o *outage) attempts() (all []time.Duration) {
	for _, sent := range o.sent {
		all = append(all, sent.Sub(o.began))
	}
	return all
}

func (o *outage) String() string {
	return fmt.Sprintf("%d with a store, %v tokens, outage (%d, %v) from %v to %v, a request every %v, %v for a token",
		o.shared, o.lifetime, o.status, o.header, o.down, o.up, o.gap, o.delay)
}

// TestNoRequestWaitsLongAfterAnOutage checks random outages. A failure shows all that matters.
func TestNoRequestWaitsLongAfterAnOutage(t *testing.T) {
	runs := 210
	if testing.Short() {
		runs = 60
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(seed), 1))
				upTo := func(limit time.Duration) time.Duration { return time.Duration(random.Int64N(int64(limit))) }
				o := &outage{
					shared:   []int{0, 1, 3}[seed%3],
					lifetime: (5*time.Second + upTo(295*time.Second)).Truncate(time.Second),
					delay:    upTo(400 * time.Millisecond),
					status:   []int{503, 500, 408, 0}[random.IntN(4)],
					gap:      []time.Duration{20 * time.Millisecond, time.Second, 20 * time.Second}[random.IntN(3)],
				}
				if seconds := random.IntN(240) - 120; seconds > 0 {
					o.header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
				}
				o.down = upTo(o.lifetime)
				o.up = o.down + upTo([]time.Duration{10 * time.Second, o.lifetime, 3 * time.Minute}[random.IntN(3)])
				o.run(t, random)
				o.check(t)
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
					o := &outage{shared: shared, lifetime: tc.lifetime, down: tc.down, up: tc.up, status: 503, header: tc.header, delay: 20 * time.Millisecond, gap: 20 * time.Millisecond}
					o.run(t, rand.New(rand.NewPCG(1, 1)))
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
