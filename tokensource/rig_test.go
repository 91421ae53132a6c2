package tokensource_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/etrustedtest"
	"etrusted-broker/tokensource"
)

// rig is a source with a stand-in for the login server, in a synctest bubble: time is fake, and exact.
type rig struct {
	*tokensource.Source
	server *etrustedtest.Server
	began  time.Time
	stop   func() // ends Run and waits for that

	mu     sync.Mutex
	events []tokensource.Event
}

// newRig makes a source and starts its loop.
func newRig(t *testing.T, options etrustedtest.Options) *rig {
	t.Helper()
	r := &rig{server: etrustedtest.New(options), began: time.Now()}
	r.Source = tokensource.New(r.config(t))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rig) config(t *testing.T) tokensource.Config {
	return tokensource.Config{
		Credentials: credentials(etrustedtest.DefaultClientID, etrustedtest.DefaultClientSecret),
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
	}
}

func credentials(id, secret string) tokensource.Credentials {
	return tokensource.Credentials{ID: tokensource.NewSecret(id), Secret: tokensource.NewSecret(secret)}
}

// network serves handler in memory and returns the way to it.
func network(t *testing.T, handler http.Handler) http.RoundTripper {
	t.Helper()
	listener := etrustedtest.NewListener()
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

func (r *rig) last() tokensource.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// await waits for a token as a request does, and tells how long that took.
func (r *rig) await(patience time.Duration) (took time.Duration, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = r.Await(ctx)
	return time.Since(began), err
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
