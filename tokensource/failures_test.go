package tokensource_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestFailureKeepsValidToken(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]http.Handler{
		"outage":    fakeetrusted.Status(503, nil),
		"rejection": fakeetrusted.OAuthError(401, "invalid_client"),
		"nonsense":  fakeetrusted.Answer(200, "text/html", "<html>"),
		"break":     fakeetrusted.Truncate(10),
		"hang":      fakeetrusted.Hang(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
				r.at(time.Second)
				before, _, _ := r.Current()
				r.server.SetTokenFault(fault)
				r.at(99 * time.Second)
				if r.server.TokenRequestCount() < 2 {
					t.Fatal("no refresh has failed yet")
				}
				if now, _, ok := r.Current(); !ok || now != before {
					t.Errorf("Current = %q, %v before the expiry, want %q", now, ok, before)
				}
				if took, err := r.wait(time.Second); err != nil || took != 0 {
					t.Errorf("Wait took %v: %v, want no wait", took, err)
				}
				r.at(100*time.Second + time.Millisecond)
				if _, _, ok := r.Current(); ok {
					t.Error("Current returns an expired token")
				}
			})
		})
	}
}

func TestRecoversWithinOneBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: 10 * time.Second})
		r.at(time.Second)
		r.server.SetTokenFault(fakeetrusted.Status(503, nil))
		r.at(time.Minute)
		took, err := r.wait(10 * time.Second)
		none := noToken(t, err)
		if took != 10*time.Second || isRejected(none) || !strings.Contains(none.Error(), "503") {
			t.Errorf("Wait failed after %v with %q, want 10s and the status 503", took, none)
		}
		r.server.SetTokenFault(nil)
		if took, err := r.wait(time.Hour); err != nil || took > 30*time.Second {
			t.Errorf("recovered after %v (%v), want within one backoff", took, err)
		}
		if snapshot := r.Snapshot(); snapshot.ConsecutiveFailures != 0 || snapshot.LastFailure != nil {
			t.Errorf("snapshot %+v after a success, want no failure", snapshot)
		}
	})
}

func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(fakeetrusted.Status(500, nil))
		r.at(10 * time.Minute)
		requests := r.server.TokenRequests()
		for i := 1; i < len(requests); i++ {
			if gap := requests[i].At.Sub(requests[i-1].At); gap < time.Second || gap > 30*time.Second+time.Millisecond {
				t.Errorf("request %d came %v after the previous one", i, gap)
			}
		}
		if n := len(requests); n < 20 || n > 120 {
			t.Errorf("%d attempts in 10 minutes, want 20 to 120", n)
		}
	})
}

func TestHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	const wait = 90 * time.Second
	for name, value := range map[string]func(now time.Time) string{
		"seconds": func(time.Time) string { return "90" },
		"date":    func(now time.Time) string { return now.Add(wait).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{})
				r.server.SetTokenFault(fakeetrusted.Status(429, http.Header{"Retry-After": {value(time.Now())}}))
				r.at(wait - 2*time.Second)
				if n := r.server.TokenRequestCount(); n != 1 {
					t.Fatalf("%d requests before Retry-After has passed, want 1", n)
				}
				r.server.SetTokenFault(nil)
				r.at(wait + 2*time.Second)
				if _, _, ok := r.Current(); !ok {
					t.Error("no token after Retry-After has passed")
				}
			})
		})
	}
}

// A pair that has not worked yet may have been written before the login server knew it.
func TestRejectionFailsAtOnceAndIsRetriedLessAndLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(fakeetrusted.OAuthError(400, "invalid_client"))
		r.at(4 * time.Second)
		took, err := r.wait(time.Minute)
		none := noToken(t, err)
		if took != 0 || !isRejected(none) || !strings.Contains(none.Hint, "SSO Client Management") {
			t.Errorf("Wait failed after %v with %q, %q, want a rejection at once", took, none, none.Hint)
		}
		if got := none.RetryAfter; got != 3*time.Second {
			t.Errorf("RetryAfter = %v, want 3s", got)
		}
		r.at(20 * time.Minute)
		want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543, 603, 903}
		var got []time.Duration
		for _, request := range r.server.TokenRequests() {
			got = append(got, request.At.Sub(r.began)/time.Second)
		}
		if !slices.Equal(got, want) {
			t.Errorf("token requests after %d s, want %d s", got, want)
		}
		r.server.SetTokenFault(nil)
		r.at(1204 * time.Second)
		if _, _, ok := r.Current(); !ok {
			t.Error("no token after the retry")
		}
	})
}

// One rejection may be that of a server that does not know the pair yet, or no longer knows it during a change.
func TestWorkingPairIsRejectedAfterTwoRejections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: 10 * time.Second})
		r.at(time.Second)
		r.server.SetTokenFault(fakeetrusted.OAuthError(401, "invalid_client"))
		for r.server.TokenRequestCount() < 2 {
			r.at(time.Since(r.began) + 10*time.Millisecond)
		}
		if next := time.Until(r.Snapshot().NextAttempt); next < 900*time.Millisecond || next > 2*time.Second {
			t.Errorf("the next attempt comes %v after the first rejection, want 1 s to 2 s", next)
		}
		r.at(10*time.Second + time.Millisecond)
		took, err := r.wait(time.Minute)
		if none := noToken(t, err); took != 0 || !isRejected(none) {
			t.Errorf("Wait failed after %v with %q, want a rejection at once", took, none)
		}
		if n := r.server.TokenRequestCount(); n != 3 {
			t.Errorf("%d token requests, want 3: the first and two rejected ones", n)
		}
		r.at(20 * time.Second)
		if next := time.Until(r.Snapshot().NextAttempt); next < 280*time.Second {
			t.Errorf("the next attempt comes in %v, want five minutes after a rejection without a valid token", next)
		}
	})
}

func TestBlockPageIsAnOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]http.Handler{
		"HTML": fakeetrusted.Answer(403, "text/html", "<html>"), "empty": fakeetrusted.Status(401, nil), "429": fakeetrusted.Status(429, nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{Lifetime: 20 * time.Second})
				r.at(time.Second)
				r.server.SetTokenFault(fault)
				r.at(25 * time.Second)
				go func() {
					time.Sleep(3 * time.Second)
					r.server.SetTokenFault(nil)
				}()
				if took, err := r.wait(time.Minute); err != nil || took > 5500*time.Millisecond {
					t.Errorf("Wait took %v: %v, want a token within 2.5 s of the fault's end", took, err)
				}
			})
		})
	}
}

// Requests that are already waiting fail as well.
func TestRejectionEndsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenDelay(2 * time.Second)
		r.server.SetTokenFault(fakeetrusted.OAuthError(401, "invalid_client"))
		took, err := r.wait(time.Minute)
		if none := noToken(t, err); took != 2*time.Second || !isRejected(none) {
			t.Errorf("waited %v, want until the rejection", took)
		}
	})
}

func TestRetriesAfterInvalidResponse(t *testing.T) {
	t.Parallel()
	padded := `{"access_token":"abc"}` + strings.Repeat(" ", 1<<20)
	for name, tc := range map[string]struct {
		fault http.Handler
		want  tokensource.Outcome
		after time.Duration // when the outcome is known
	}{
		"2 MB":               {fakeetrusted.Answer(200, "application/json", strings.Repeat("x", 2<<20)), tokensource.OutcomeInvalidResponse, 0},
		"valid but padded":   {fakeetrusted.Answer(200, "application/json", padded), tokensource.OutcomeInvalidResponse, 0},
		"hangs":              {fakeetrusted.Hang(), tokensource.OutcomeUnavailable, 29 * time.Second},
		"drips":              {fakeetrusted.SlowBody(`{"access_token":"abc","expires_in":300}`, time.Second), tokensource.OutcomeUnavailable, 29 * time.Second},
		"breaks off":         {fakeetrusted.Truncate(5), tokensource.OutcomeUnavailable, 0},
		"JSON as plain text": {fakeetrusted.Answer(200, "text/plain", `{"access_token":"abc","expires_in":300}`), tokensource.OutcomeSuccess, 0},
		"echoes the secret":  {fakeetrusted.EchoSecret(400), tokensource.OutcomeInvalidResponse, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{})
				r.server.SetTokenFault(tc.fault)
				r.at(tc.after + 100*time.Millisecond)
				if got := r.outcomes(); len(got) != 1 || got[0] != tc.want {
					t.Fatalf("outcomes %v, want %s", got, tc.want)
				}
				if event := r.last(); event.Duration != tc.after {
					t.Errorf("duration %v, want %v", event.Duration, tc.after)
				}
				if failure := r.last().Err; failure != nil && strings.Contains(failure.Error(), fakeetrusted.DefaultClientSecret) {
					t.Error("the error contains the secret")
				}
				if tc.want == tokensource.OutcomeSuccess {
					return
				}
				r.server.SetTokenFault(nil)
				if _, err := r.wait(time.Minute); err != nil {
					t.Errorf("no token after the fault: %v", err)
				}
			})
		})
	}
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := fakeetrusted.NewListener()
		_ = listener.Close()
		r := newRig(t, fakeetrusted.Options{}, func(config *tokensource.Config) {
			config.Endpoint.Transport = &http.Transport{DialContext: listener.Dial}
		})
		r.at(500 * time.Millisecond)
		if event := r.last(); event.Outcome != tokensource.OutcomeUnavailable || !strings.Contains(event.Err.Reason, "refused the connection") {
			t.Errorf("event %+v, want unavailable, connection refused", event)
		}
	})
}

// A token that expires before its response arrives counts as a failure, so the backoff applies.
func TestTokenExpiredOnArrivalCausesNoStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Second})
		r.server.SetTokenFault(fakeetrusted.Answer(200, "application/json", `{"access_token":"abc","expires_in":1}`))
		r.server.SetTokenDelay(time.Second)
		r.at(time.Minute)
		if _, _, ok := r.Current(); ok {
			t.Error("Current returns an expired token")
		}
		if n := r.server.TokenRequestCount(); n > 30 {
			t.Errorf("%d requests in a minute, want at most 30", n)
		}
		if event := r.last(); event.Outcome != tokensource.OutcomeUnavailable {
			t.Errorf("outcome %s", event.Outcome)
		}
	})
}
