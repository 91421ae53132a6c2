package tokensource_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// rig is a source with a stand-in for the login server, in a synctest bubble: time is fake, and exact.
type rig struct {
	*tokensource.Source
	server *fakeetrusted.Server
	began  time.Time
	start  func() // starts Run; at and await do so, after a test has set its faults
	stop   func() // ends Run and waits for that

	mu      sync.Mutex
	events  []tokensource.Event
	changes []tokensource.Reload
}

// newRig makes a source whose loop has not started.
func newRig(t *testing.T, options fakeetrusted.Options) *rig {
	t.Helper()
	return newRigWith(t, options, fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret))
}

func newRigWith(t *testing.T, options fakeetrusted.Options, origin tokensource.Origin) *rig {
	t.Helper()
	r := &rig{server: fakeetrusted.New(options), began: time.Now()}
	config := r.config(t)
	config.Origin = origin
	r.Source = tokensource.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	r.start = sync.OnceFunc(func() {
		loop.Go(func() { r.Run(ctx) })
	})
	r.stop = func() {
		cancel()
		loop.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) config(t *testing.T) tokensource.Config {
	return tokensource.Config{
		Origin: fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret),
		Endpoint: tokensource.Endpoint{
			URL:       "http://login.example/oauth/token",
			Audience:  "https://api.etrusted.com",
			Transport: network(t, r.server),
			UserAgent: "etrusted-broker/test",
		},
		Observe: func(event tokensource.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, event)
		},
		ObserveReload: func(change tokensource.Reload) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.changes = append(r.changes, change)
		},
	}
}

// fixed is an origin that never changes.
func fixed(id, secret string) tokensource.Origin {
	return tokensource.Origin{
		ID:     tokensource.Part{Name: "ETRUSTED_CLIENT_ID", Value: tokensource.NewSecret(id)},
		Secret: tokensource.Part{Name: "ETRUSTED_CLIENT_SECRET", Value: tokensource.NewSecret(secret)},
	}
}

// network serves handler in memory and returns the way to it.
func network(t *testing.T, handler http.Handler) http.RoundTripper {
	t.Helper()
	listener := fakeetrusted.NewListener()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(listener) }()
	transport := &http.Transport{DialContext: listener.Dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
	})
	return transport
}

// at lets time pass until so long after the beginning, and all that is due then happen.
func (r *rig) at(since time.Duration) {
	r.start()
	time.Sleep(time.Until(r.began.Add(since)))
	synctest.Wait()
}

// outcomes are those of the token requests so far.
func (r *rig) outcomes() []tokensource.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []tokensource.Outcome
	for _, event := range r.events {
		all = append(all, event.Outcome)
	}
	return all
}

// reloads are the outcomes of the credentials' changes so far.
func (r *rig) reloads() []tokensource.ReloadOutcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []tokensource.ReloadOutcome
	for _, change := range r.changes {
		all = append(all, change.Outcome)
	}
	return all
}

func (r *rig) last() tokensource.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// await waits for a token as a request does, and tells how long that took.
func (r *rig) await(patience time.Duration) (took time.Duration, err error) {
	r.start()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = r.Await(ctx)
	return time.Since(began), err
}

// awaitOther waits for another token, as a request does that was refused. It returns an empty value if there is none.
func (r *rig) awaitOther(t *testing.T, than string) (value string, took time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	value, ok := r.AwaitOther(ctx, than)
	if !ok {
		value = ""
	}
	return value, time.Since(began)
}

func noToken(t *testing.T, err error) *tokensource.NoTokenError {
	t.Helper()
	var none *tokensource.NoTokenError
	if !errors.As(err, &none) {
		t.Fatalf("err = %v, want a *NoTokenError", err)
	}
	if none.Error() == "" || none.Advice() == "" || none.RetryAfter() <= 0 {
		t.Fatalf("a NoTokenError that does not say all: %+v", none)
	}
	return none
}
