package tokensource_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/problem"
	"etrusted-broker/tokensource"
)

// runner is a source that a test starts and stops, and what it has reported.
type runner struct {
	*tokensource.Source
	began time.Time
	start func() // starts Run, unless it has started
	stop  func() // ends Run and waits for it

	mu      sync.Mutex
	events  []event
	changes []tokensource.CredentialReload
}

// event is a RefreshEvent, and when it was reported.
type event struct {
	tokensource.RefreshEvent
	at time.Time
}

func newRunner(t testing.TB, config tokensource.Config) *runner {
	t.Helper()
	r := &runner{began: time.Now()}
	config.OnRefresh = func(refresh tokensource.RefreshEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, event{refresh, time.Now()})
	}
	config.OnReload = func(change tokensource.CredentialReload) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, change)
	}
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

// at advances the time to since after the beginning, and waits until everything due then has happened.
func (r *runner) at(since time.Duration) {
	r.start()
	time.Sleep(time.Until(r.began.Add(since)))
	synctest.Wait()
}

// outcomes returns the outcomes of all reported token requests.
func (r *runner) outcomes() (all []tokensource.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events {
		all = append(all, event.Outcome)
	}
	return all
}

// reloads returns the outcomes of all reported reloads.
func (r *runner) reloads() (all []tokensource.ReloadOutcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, change := range r.changes {
		all = append(all, change.Outcome)
	}
	return all
}

func (r *runner) last() tokensource.RefreshEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[len(r.events)-1].RefreshEvent
}

// wait waits for a token like a request, and returns how long that took.
func (r *runner) wait(timeout time.Duration) (took time.Duration, err error) {
	r.start()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	_, _, err = r.Wait(ctx)
	return time.Since(began), err
}

// waitNewer waits for a newer token, as a rejected request does. It returns an empty value if no newer token arrives.
func (r *runner) waitNewer(t *testing.T, old string) (value string, took time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	value, _, _ = r.WaitNewer(ctx, old)
	return value, time.Since(began)
}

// rig is a source with a fake login server, in a synctest bubble: time is fake, and exact.
type rig struct {
	*runner
	server *fakeetrusted.Server
}

// newRig returns a rig whose Run has not started, so that a test can set faults first.
func newRig(t *testing.T, options fakeetrusted.Options, changes ...func(config *tokensource.Config)) *rig {
	t.Helper()
	server := fakeetrusted.New(options)
	config := tokensource.Config{
		Credentials: fixed(fakeetrusted.DefaultClientID, fakeetrusted.DefaultClientSecret),
		Endpoint: tokensource.TokenEndpoint{
			URL:       "http://login.example/oauth/token",
			Audience:  "https://api.etrusted.com",
			Transport: network(t, server),
			UserAgent: "etrusted-broker/test",
		},
	}
	for _, change := range changes {
		change(&config)
	}
	return &rig{newRunner(t, config), server}
}

// fixed returns a pair that never changes.
func fixed(id, secret string) tokensource.CredentialSource {
	return tokensource.CredentialSource{
		ID:     tokensource.CredentialFieldSource{Name: "ETRUSTED_CLIENT_ID", Value: tokensource.NewSecret(id)},
		Secret: tokensource.CredentialFieldSource{Name: "ETRUSTED_CLIENT_SECRET", Value: tokensource.NewSecret(secret)},
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

// roundTrip is a login server without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// always is a login server that always responds with the same body.
func always(body string) roundTrip {
	return func(*http.Request) (*http.Response, error) { return answer(http.StatusOK, body), nil }
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
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
