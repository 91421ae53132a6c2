package tokensource_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// A login server that rejects for some seconds costs no valid token, although two rejections in a row stop a pair without one for
// five minutes.
func TestRejectionsForSomeSecondsCostNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1, 300*time.Second, nil)
		f.at(205 * time.Second)
		f.login.set(rejects)
		for f.login.count() < 3 {
			f.pass(time.Second)
		}
		f.login.set("")
		f.pass(400 * time.Second) // fails the test if the broker has no token at any time
		if got := f.login.count(); got < 5 {
			t.Errorf("got %d token requests, want refreshes after the rejections", got)
		}
	})
}

// replayingStore hides new tokens from a moment on, and shows the newest lease, as if it had just begun.
type replayingStore struct {
	*memoryStore
	from time.Time

	mu   sync.Mutex
	last int64 // the fencing token of that lease
}

type replayingEntry struct {
	tokensource.Entry
	store *replayingStore
	fence int64
}

func (r *replayingStore) Entry(pair tokensource.Credentials, endpoint tokensource.TokenEndpoint, onChange func()) tokensource.Entry {
	return &replayingEntry{Entry: r.memoryStore.Entry(pair, endpoint, onChange), store: r}
}

func (e *replayingEntry) Get(ctx context.Context) (tokensource.Shared, error) {
	shared, err := e.Entry.Get(ctx)
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.fence = shared.FencingToken
	if time.Now().Before(e.store.from) {
		return shared, err
	}
	if shared.Token = (tokensource.SharedToken{}); e.store.last != 0 {
		shared.Lease = tokensource.Lease{FencingToken: e.store.last, Remaining: 15 * time.Second}
	}
	return shared, err
}

func (e *replayingEntry) Acquire(ctx context.Context, lease tokensource.Lease) (bool, error) {
	if time.Now().Before(e.store.from) {
		return e.Entry.Acquire(ctx, lease)
	}
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.store.last = e.fence
	return true, nil
}

func TestReplayedLeasesCostNoToken(t *testing.T) {
	for _, lifetime := range []time.Duration{60 * time.Second, 300 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			defer func() {
				cancel()
				running.Wait()
			}()
			var brokers []*tokensource.Source
			login := newLogin(lifetime)
			store := &replayingStore{memoryStore: newMemoryStore(), from: began.Add(lifetime / 2)}
			for range 30 {
				s, err := tokensource.New(tokensource.Config{
					Credentials: fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret), Store: store,
					Endpoint: tokensource.TokenEndpoint{URL: "http://login.example/", Transport: login},
				})
				if err != nil {
					t.Fatal(err)
				}
				brokers = append(brokers, s)
				running.Go(func() { s.Run(ctx) })
			}
			for time.Sleep(lifetime / 2); time.Since(began) < 3*lifetime; time.Sleep(100 * time.Millisecond) {
				for i, s := range brokers {
					if _, _, ok := s.Current(); !ok {
						t.Fatalf("tokens of %v: broker %d has no token after %v", lifetime, i, time.Since(began))
					}
				}
			}
		})
	}
}
