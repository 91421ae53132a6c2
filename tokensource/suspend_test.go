package tokensource

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// responder is a login server that responds with the body that it returns.
type responder func() string

func (body responder) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body()))}, nil
}

// jumped starts a source in a bubble and makes its token one that has expired by the wall clock, but not by the monotonic
// clock, because these clocks cannot diverge in a bubble. respond is the login server
// from then on.
func jumped(t *testing.T, respond func() string) (source *Source, fetches *atomic.Int64, sent string) {
	t.Helper()
	fetches = new(atomic.Int64)
	source, err := New(Config{Credentials: CredentialSource{ID: CredentialField{Value: NewSecret("id")}}, Endpoint: TokenEndpoint{URL: "http://login.example/", Transport: responder(func() string {
		if fetches.Add(1) == 1 {
			return `{"access_token":"old","expires_in":3600}`
		}
		return respond()
	})}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		source.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	time.Sleep(time.Second) // less than minTokenAge
	jump(source)
	return source, fetches, "Bearer old"
}

// jump lets the token expire by the wall clock.
func jump(source *Source) {
	source.publish(func(next *state) {
		old := next.token
		next.token = &token{authorization: old.authorization, issued: old.issued, received: old.received, lifetime: old.lifetime, wallExpiry: time.Now().Round(0), refreshAt: old.refreshAt}
	})
}

// A machine that was suspended, or whose clock was set, gets a new token without any request.
func TestRefreshesAfterWallClockJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, fetches, _ := jumped(t, func() string { return `{"access_token":"new","expires_in":3600}` })
		for jump := time.Now(); ; time.Sleep(time.Millisecond) {
			if value, _, ok := source.Current(); !ok {
				t.Fatal("no token after the jump, want the old one")
			} else if value == "Bearer new" {
				break
			}
			if time.Since(jump) > clockCheckInterval {
				t.Fatalf("no new token within %v", clockCheckInterval)
			}
		}
		time.Sleep(time.Hour / 2)
		if fetches.Load() != 2 {
			t.Errorf("%d token requests, want 2: at the start and after the jump", fetches.Load())
		}
	})
}

// A token that is expired only by the wall clock is better than none.
func TestKeepsTokenAfterWallClockJumpInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, fetches, sent := jumped(t, func() string { return "<html>" })
		time.Sleep(50 * time.Minute)
		if value, _, ok := source.Current(); !ok || value != sent {
			t.Errorf("Current = %q, %v in an outage, want %q", value, ok, sent)
		}
		if n := fetches.Load(); n < 3 || n > 400 {
			t.Errorf("%d token requests in 50 minutes, want 3 to 400", n)
		}
		time.Sleep(10 * time.Minute)
		if _, _, ok := source.Current(); ok {
			t.Error("Current returns a token that has expired by the monotonic clock")
		}
	})
}

// A jump during the pause after a failed attempt ends the pause, once.
func TestWallClockJumpEndsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, fetches, sent := jumped(t, func() string { return "<html>" })
		time.Sleep(20 * time.Minute) // the pauses last up to 30 s
		for range 20 {
			before := fetches.Load()
			for time.Until(source.Snapshot().NextAttempt) < clockCheckInterval+time.Second {
				time.Sleep(time.Second)
				before = fetches.Load()
			}
			jump(source)
			for jumped := time.Now(); fetches.Load() == before; time.Sleep(100 * time.Millisecond) {
				if time.Since(jumped) > clockCheckInterval {
					t.Fatalf("no token request within %v of the jump", clockCheckInterval)
				}
			}
			if value, _, ok := source.Current(); !ok || value != sent {
				t.Fatalf("Current = %q, %v, want %q", value, ok, sent)
			}
			time.Sleep(time.Until(source.Snapshot().NextAttempt) - time.Millisecond)
			if n := fetches.Load() - before; n != 1 {
				t.Fatalf("%d token requests before the end of the next pause, want 1", n)
			}
		}
	})
}

// After a suspend the API refuses the token, and the first request that it refuses replaces it.
func TestFirst401AfterSuspendReplacesToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, _, sent := jumped(t, func() string { return `{"access_token":"new","expires_in":3600}` })
		if !source.Invalidate(sent) {
			t.Fatal("Invalidate = false, want true")
		}
		began := time.Now()
		if value, _, err := source.WaitNewer(t.Context(), sent); value != "Bearer new" || time.Since(began) != 0 {
			t.Errorf("WaitNewer = %q, %v after %v, want the new token at once", value, err, time.Since(began))
		}
	})
}

// If the login server is away after a suspend, the refused token does not count as valid.
func TestRefusedTokenIsReplacedSoonAfterSuspend(t *testing.T) {
	for _, lasts := range []time.Duration{10 * time.Second, 25 * time.Second, 5 * time.Minute} {
		for range 10 {
			synctest.Test(t, func(t *testing.T) {
				var healed atomic.Bool
				source, _, sent := jumped(t, func() string {
					if healed.Load() {
						return `{"access_token":"new","expires_in":3600}`
					}
					return "<html>"
				})
				time.AfterFunc(lasts, func() { healed.Store(true) })
				for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
					if value, _, _ := source.Current(); value != sent {
						break
					}
					source.Invalidate(sent) // as each request does that gets 401
					limit := 2500 * time.Millisecond
					if lasts > longOutage {
						limit = 5500 * time.Millisecond
					}
					if took := time.Since(began) - lasts; took > limit {
						t.Fatalf("the refused token is sent %v after the outage, want at most %v", took, limit)
					}
				}
			})
		}
	}
}
