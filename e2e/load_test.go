package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// load is an app that asks all the time.
type load struct {
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu       sync.Mutex
	requests int
	failures []string
}

// startLoad sends four requests every 20 ms, until end or the test's end.
func (b *broker) startLoad(t *testing.T) *load {
	return b.startLoadOf(t, 4, 20*time.Millisecond)
}

// startLoadOf has so many workers, each of which sends a request every so often.
func (b *broker) startLoadOf(t *testing.T, workers int, every time.Duration) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for range workers {
		l.workers.Go(func() {
			pace := time.NewTicker(every)
			defer pace.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
					l.count(b.send(http.MethodGet, b.app+"/channels", nil))
				}
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) count(got answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if err != nil {
		l.failures = append(l.failures, err.Error())
	} else if got.status != http.StatusOK {
		l.failures = append(l.failures, fmt.Sprint(got.status, " ", got.body))
	}
}

func (l *load) stop() {
	l.cancel()
	l.workers.Wait()
}

// end stops the load and fails the test if any request failed, or there were less than so many.
func (l *load) end(t *testing.T, atLeast int) {
	t.Helper()
	l.stop()
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed, the first with: %s", len(l.failures), l.requests, l.failures[0])
	}
	if l.requests < atLeast {
		t.Errorf("%d requests, want at least %d: that is no load", l.requests, atLeast)
	}
}
