package tokensource

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// responder is a login server that responds with the body that it returns.
type responder func() string

func (body responder) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body()))}, nil
}

// The clocks of a bubble cannot diverge, so the test sets the state of a machine after a suspend by hand: a token that
// has expired by the wall clock, while its refresh is far off by the monotonic clock.
func TestRefreshesAfterSuspend(t *testing.T) {
	for name, tc := range map[string]struct {
		wait bool
		want time.Duration
	}{
		"no request: within one clock check": {false, clockCheckInterval},
		"a waiting request: at once":         {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fetches := 0
				source, err := New(Config{Credentials: CredentialSource{ID: CredentialField{Value: NewSecret("id")}}, Endpoint: TokenEndpoint{URL: "http://login.example/", Transport: responder(func() string {
					fetches++
					return `{"access_token":"abc","expires_in":3600}`
				})}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go source.Run(ctx)
				synctest.Wait()
				source.publish(func(next *state) {
					next.token = &token{issued: next.token.issued.Round(0).Add(-2 * time.Hour), lifetime: time.Hour}
				})
				woken := time.Now()
				if tc.wait {
					if _, err := source.Wait(ctx); err != nil {
						t.Fatal(err)
					}
				}
				for !source.state.Load().token.valid(time.Now()) {
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(woken); took > tc.want+time.Millisecond {
					t.Errorf("new token after %v, want %v", took, tc.want)
				}
				time.Sleep(time.Hour / 2)
				if fetches != 2 {
					t.Errorf("%d token requests, want 2: at the start and after the suspend", fetches)
				}
			})
		})
	}
}
