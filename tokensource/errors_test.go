package tokensource_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestWaitErrorWrapsItsCauses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault       http.Handler
		wantRefresh tokensource.Outcome // of the wrapped *RefreshError; empty: none
		wantTimeout bool                // whether it wraps context.DeadlineExceeded
	}{
		"no response yet": {fakeetrusted.Hang(), "", true},
		"outage":          {fakeetrusted.Status(503, nil), tokensource.OutcomeUnavailable, true},
		"rejection":       {fakeetrusted.OAuthError(401, "invalid_client"), tokensource.OutcomeRejected, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{})
				r.server.SetTokenFault(tc.fault)
				_, err := r.wait(5 * time.Second)
				var refreshErr *tokensource.RefreshError
				var got tokensource.Outcome
				if errors.As(err, &refreshErr) {
					got = refreshErr.Outcome
				}
				if got != tc.wantRefresh {
					t.Errorf("wrapped outcome %q, want %q", got, tc.wantRefresh)
				}
				if got := errors.Is(err, context.DeadlineExceeded); got != tc.wantTimeout {
					t.Errorf("wraps DeadlineExceeded: %v, want %v", got, tc.wantTimeout)
				}
			})
		})
	}
}

func TestConstructorsRequireEndpoint(t *testing.T) {
	t.Parallel()
	transport := always("")
	for name, tc := range map[string]struct {
		endpoint tokensource.TokenEndpoint
		valid    bool
	}{
		"complete":     {tokensource.TokenEndpoint{URL: "http://login.example/", Transport: transport}, true},
		"no URL":       {tokensource.TokenEndpoint{Transport: transport}, false},
		"no transport": {tokensource.TokenEndpoint{URL: "http://login.example/"}, false},
	} {
		config := tokensource.Config{Endpoint: tc.endpoint}
		if _, err := tokensource.New(config); (err == nil) != tc.valid {
			t.Errorf("%s: New: %v, want valid: %v", name, err, tc.valid)
		}
		if _, err := tokensource.NewAccounts(tokensource.AccountsConfig{Source: config}); (err == nil) != tc.valid {
			t.Errorf("%s: NewAccounts: %v, want valid: %v", name, err, tc.valid)
		}
	}
}
