package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// loadGenerator sends requests at a steady rate, as an app would, and counts failures.
type loadGenerator struct {
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu       sync.Mutex
	requests int
	failures []string
}

// startLoad sends four requests every 20 ms until the load is stopped or the test ends.
func (b *broker) startLoad(t *testing.T) *loadGenerator {
	return b.startLoadWith(t, 4, 20*time.Millisecond)
}

// startLoadWith starts workers that each send a request per interval.
func (b *broker) startLoadWith(t *testing.T, workers int, interval time.Duration) *loadGenerator {
	ctx, cancel := context.WithCancel(context.Background())
	l := &loadGenerator{cancel: cancel}
	for range workers {
		l.workers.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					l.record(b.send(http.MethodGet, b.appURL+"/channels", nil))
				}
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *loadGenerator) record(got brokertest.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if got.Err != nil || got.Status != http.StatusOK {
		l.failures = append(l.failures, fmt.Sprint(got.Status, got.Err, got.Body))
	}
}

func (l *loadGenerator) stop() {
	l.cancel()
	l.workers.Wait()
}

// stopAndCheck stops the load. It fails the test if any request failed, or if there were too few requests.
func (l *loadGenerator) stopAndCheck(t *testing.T, atLeast int) {
	t.Helper()
	l.stop()
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed, want 0; the first: %s", len(l.failures), l.requests, l.failures[0])
	}
	if l.requests < atLeast {
		t.Errorf("the load was %d requests, want at least %d", l.requests, atLeast)
	}
}
