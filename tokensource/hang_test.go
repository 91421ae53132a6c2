package tokensource_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestSlowLoginServerYieldsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
		r.server.SetTokenDelay(12 * time.Second)
		if took, err := r.wait(time.Minute); err != nil || took != 12*time.Second {
			t.Fatalf("waited %v: %v, want a token after 12s", took, err)
		}
		for time.Since(r.began) < 10*time.Minute {
			if _, ok := r.Current(); !ok {
				t.Fatalf("no token after %v", time.Since(r.began))
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// A login server that accepts connections and never answers is found again although the first request hangs on.
func TestFindsLoginServerThatHung(t *testing.T) {
	for name, start := range map[string]time.Duration{"from the start": 0, "at a refresh": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{Lifetime: 40 * time.Second})
				r.at(start)
				hang := r.server
				hang.SetTokenFault(fakeetrusted.Hang())
				r.at(start + 53*time.Second)
				hang.SetTokenFault(nil) // for new requests only
				// Every 5 s there is a new request, and between two attempts a pause of up to 2 s.
				if took, err := r.wait(time.Minute); err != nil || took > 7*time.Second {
					t.Errorf("waited %v: %v, want a token within 7s", took, err)
				}
			})
		})
	}
}

// counting counts requests.
type counting struct {
	next http.RoundTripper

	mu    sync.Mutex
	count counts
}

type counts struct {
	now, most int // in flight
	all       int
	closed    int // calls of CloseIdleConnections
}

func (c *counting) counts() counts {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.count.now++
	c.count.all++
	c.count.most = max(c.count.most, c.count.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.count.now--
	}()
	return c.next.RoundTrip(r)
}

func (c *counting) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.closed++
}

func TestSecondRequestRunsOnlyWhileTokenIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{server: fakeetrusted.New(fakeetrusted.Options{Lifetime: 300 * time.Second}), began: time.Now()}
		config := r.config(t)
		requests := &counting{next: config.Endpoint.Transport}
		config.Endpoint.Transport = requests
		source, err := tokensource.New(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { source.Run(ctx) })
		time.Sleep(time.Second)
		r.server.SetTokenFault(fakeetrusted.Hang())
		time.Sleep(268 * time.Second)
		before := requests.counts()
		if before.most != 1 || before.closed != 0 {
			t.Errorf("%+v with more than 30 s of the token left, want one request at once, and no new connection", before)
		}
		time.Sleep(200 * time.Second)
		after := requests.counts()
		if after.most != 2 {
			t.Errorf("%d token requests at once, want 2", after.most)
		}
		// In 31 s to 60 s, one request and five beside it.
		if n := after.all - before.all; n < 15 || n > 42 || after.closed < n*3/4 {
			t.Errorf("%d token requests in 200 s, %d on new connections, want 15 to 42, and five of six", n, after.closed)
		}
		cancel()
		running.Wait()
		if n := requests.counts().now; n != 0 {
			t.Errorf("%d token requests in flight after the end, want 0", n)
		}
	})
}
