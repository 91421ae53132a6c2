package proxy_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// authorization is what every request must bear upstream. Its token is a canary: odd enough that finding it in an
// answer, a report or a log is no coincidence.
const (
	canary        = "canary.4c1f-not-a-real-token"
	authorization = "Bearer " + canary
)

// fakeTokens is the proxy.Tokens of these tests.
type fakeTokens struct {
	current string                                    // empty: there is none, and requests wait
	await   func(ctx context.Context) (string, error) // nil: until ctx is done
	waiting chan struct{}                             // if not nil, is sent to when a request begins to wait
	asked   atomic.Int64                              // calls of Current
	// invalidate answers Invalidate; nil: the token is kept.
	invalidate func(authorization string) bool
}

func granted() *fakeTokens { return &fakeTokens{current: authorization} }

func (f *fakeTokens) Current() (string, bool) {
	f.asked.Add(1)
	return f.current, f.current != ""
}

func (f *fakeTokens) Invalidate(authorization string) bool {
	return f.invalidate != nil && f.invalidate(authorization)
}

func (f *fakeTokens) Wait(ctx context.Context) (string, error) {
	if f.waiting != nil {
		select {
		case f.waiting <- struct{}{}:
		case <-ctx.Done():
		}
	}
	if f.await != nil {
		return f.await(ctx)
	}
	<-ctx.Done()
	return "", ctx.Err()
}

// WaitNewer is Wait, for a token other than the one that was refused.
func (f *fakeTokens) WaitNewer(ctx context.Context, old string) (string, error) {
	value, err := f.Wait(ctx)
	if err == nil && value == old {
		err = errors.New("no newer token")
	}
	return value, err
}

// tokenProblem is a proxy.NoToken.
type tokenProblem struct {
	text, advice string
	retryAfter   time.Duration
	rejected     bool
}

func (e tokenProblem) Error() string             { return e.text }
func (e tokenProblem) Advice() string            { return e.advice }
func (e tokenProblem) RetryAfter() time.Duration { return e.retryAfter }
func (e tokenProblem) Rejected() bool            { return e.rejected }
