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

type answering func() string

func (body answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body()))}, nil
}

// A bubble's clocks cannot be set apart, so what a suspended machine finds when it wakes is put in place by hand: a
// token that is dead by the wall clock, with its refresh far off by the monotonic one.
func TestWakingFromSuspend(t *testing.T) {
	for name, tc := range map[string]struct {
		ask  bool
		want time.Duration
	}{
		"nobody asks: within one look at the clock": {false, clockCheck},
		"a request asks: at once":                   {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fetches := 0
				source := New(Config{Credentials: CredentialSource{ID: CredentialField{Value: NewSecret("id")}}, Endpoint: TokenEndpoint{URL: "http://login.example/", Transport: answering(func() string {
					fetches++
					return `{"access_token":"abc","expires_in":3600}`
				})}})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go source.Run(ctx)
				synctest.Wait()
				source.publish(func(next *state) {
					next.token = &token{issued: next.token.issued.Round(0).Add(-2 * time.Hour), lifetime: time.Hour}
				})
				woken := time.Now()
				if tc.ask {
					if _, err := source.Wait(ctx); err != nil {
						t.Fatal(err)
					}
				}
				for !source.state.Load().token.valid(time.Now()) {
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(woken); took > tc.want+time.Millisecond {
					t.Errorf("a new token after %v, want %v", took, tc.want)
				}
				time.Sleep(time.Hour / 2)
				if fetches != 2 {
					t.Errorf("%d fetches, want one at the start and one after waking", fetches)
				}
			})
		})
	}
}
