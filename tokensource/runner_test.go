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
	"etrusted-broker/internal/problem"
	"etrusted-broker/tokensource"
)

// rig is a source with a fake login server, in a synctest bubble: time is fake, and exact.
type rig struct {
	*tokensource.Source
	server *fakeetrusted.Server
	began  time.Time
	start  func() // starts Run, unless at or wait already has
	stop   func() // ends Run and waits for it

	mu      sync.Mutex
	events  []tokensource.RefreshEvent
	changes []tokensource.CredentialReload
}

// newRig returns a rig whose Run has not started, so that a test can set faults first.
func newRig(t *testing.T, options fakeetrusted.Options) *rig {
	t.Helper()
	return newRigWith(t, options, func(*tokensource.Config) {})
}

// newRigWith returns a rig whose configuration has been changed.
func newRigWith(t *testing.T, options fakeetrusted.Options, change func(config *tokensource.Config)) *rig {
	t.Helper()
	r := &rig{server: fakeetrusted.New(options), began: time.Now()}
	config := r.config(t)
	change(&config)
	var err error
	if r.Source, err = tokensource.New(config); err != nil {
		t.Fatal(err)
	}
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
		Credentials: fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret),
		Endpoint: tokensource.TokenEndpoint{
			URL:       "http://login.example/oauth/token",
			Audience:  "https://api.etrusted.com",
			Transport: network(t, r.server),
			UserAgent: "etrusted-broker/test",
		},
		OnRefresh: func(event tokensource.RefreshEvent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, event)
		},
		OnReload: func(change tokensource.CredentialReload) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.changes = append(r.changes, change)
		},
	}
}

// fixed returns a pair that never changes.
func fixed(id, secret string) tokensource.CredentialSource {
	return tokensource.CredentialSource{
		ID:     tokensource.CredentialField{Name: "ETRUSTED_CLIENT_ID", Value: tokensource.NewSecret(id)},
		Secret: tokensource.CredentialField{Name: "ETRUSTED_CLIENT_SECRET", Value: tokensource.NewSecret(secret)},
	}
}

// network serves handler in memory and returns a transport to it.
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

// at advances the time to since after the beginning, and waits until everything due then has happened.
func (r *rig) at(since time.Duration) {
	r.start()
	time.Sleep(time.Until(r.began.Add(since)))
	synctest.Wait()
}

// outcomes returns the outcomes of all reported token requests.
func (r *rig) outcomes() []tokensource.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []tokensource.Outcome
	for _, event := range r.events {
		all = append(all, event.Outcome)
	}
	return all
}

// reloads returns the outcomes of all reported reloads.
func (r *rig) reloads() []tokensource.ReloadOutcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []tokensource.ReloadOutcome
	for _, change := range r.changes {
		all = append(all, change.Outcome)
	}
	return all
}

func (r *rig) last() tokensource.RefreshEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1]
}

// wait waits for a token like a request, and returns how long that took.
func (r *rig) wait(timeout time.Duration) (took time.Duration, err error) {
	r.start()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, _, err = r.Wait(ctx)
	return time.Since(began), err
}

// waitNewer waits for a newer token, as a rejected request does. It returns an empty value if no newer token arrives.
func (r *rig) waitNewer(t *testing.T, old string) (value string, took time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	value, _, _ = r.WaitNewer(ctx, old)
	return value, time.Since(began)
}

// noToken checks the error of Wait or WaitNewer.
func noToken(t *testing.T, err error) *problem.Problem {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) {
		t.Fatalf("err = %v, want a *problem.Problem", err)
	}
	if p.Code == "" || p.Detail == "" || p.Hint == "" || p.RetryAfter <= 0 {
		t.Fatalf("got %+v, want a code, a detail, a hint and RetryAfter", p)
	}
	return p
}

func isRejected(err error) bool { return errors.Is(err, tokensource.ErrCredentialsRejected) }
