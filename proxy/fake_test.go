package proxy_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy"
)

// authorization must be in every request to the upstream. Its token is a canary: unusual enough that it is not in a response,
// a record or a log by coincidence.
const (
	canary        = "canary.4c1f-not-a-real-token"
	authorization = "Bearer " + canary
)

// fakeTokens is the proxy.TokenSource of these tests.
type fakeTokens struct {
	current      string                                    // empty: there is no token, and requests wait
	wait         func(ctx context.Context) (string, error) // nil: until ctx is done
	waiting      chan struct{}                             // if not nil, gets a value when a request begins to wait
	currentCalls atomic.Int64                              // calls of Current
	accepted     atomic.Pointer[string]                    // what MarkAccepted was called with last
	// invalidate implements Invalidate; nil: it returns false.
	invalidate func(authorization string) bool
}

// accounts are the tokens of all accounts; the default account's name is empty.
type accounts map[string]proxy.TokenSource

func (a accounts) tokens(name string) (proxy.TokenSource, bool) {
	tokens, ok := a[name]
	return tokens, ok
}

func validToken() *fakeTokens { return &fakeTokens{current: authorization} }

func (f *fakeTokens) Current() (string, *url.URL, bool) {
	f.currentCalls.Add(1)
	return f.current, nil, f.current != ""
}

func (f *fakeTokens) Invalidate(authorization string) bool {
	return f.invalidate != nil && f.invalidate(authorization)
}

func (f *fakeTokens) Wait(ctx context.Context) (string, *url.URL, error) {
	if f.waiting != nil {
		select {
		case f.waiting <- struct{}{}:
		case <-ctx.Done():
		}
	}
	if f.wait != nil {
		value, err := f.wait(ctx)
		return value, nil, err
	}
	<-ctx.Done()
	return "", nil, ctx.Err()
}

func (f *fakeTokens) MarkAccepted(authorization string) { f.accepted.Store(&authorization) }

// WaitNewer calls Wait, and fails if that returns old.
func (f *fakeTokens) WaitNewer(ctx context.Context, old string) (string, *url.URL, error) {
	value, _, err := f.Wait(ctx)
	if err == nil && value == old {
		err = errors.New("no newer token")
	}
	return value, nil, err
}

func unavailable(detail, hint string, retryAfter time.Duration) *problem.Problem {
	return &problem.Problem{
		Code: "no-token", Status: http.StatusServiceUnavailable, Title: "No token", ProxyError: "destination_unavailable",
		Detail: detail, Hint: hint, RetryAfter: retryAfter,
	}
}

func rejected(detail, hint string, retryAfter time.Duration) *problem.Problem {
	p := unavailable(detail, hint, retryAfter)
	p.Code, p.ProxyError = "credentials-rejected", "proxy_configuration_error"
	return p
}
