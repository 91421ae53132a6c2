package tokensource

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func jwt(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}

func TestTokenLifetime(t *testing.T) {
	t.Parallel()
	dayOff := jwt(`{"iat":1700086400,"exp":1700086520}`) // the server's clock does not matter
	for _, tc := range []struct {
		name, expiresIn, token string
		want                   time.Duration
	}{
		{"number", `300`, "abc", 300 * time.Second},
		{"string", `"300"`, "abc", 300 * time.Second},
		{"fraction", `299.9`, "abc", 299 * time.Second},
		{"exponent", `3e2`, "abc", 300 * time.Second},
		{"missing", ``, "abc", 5 * time.Minute},
		{"null", `null`, "abc", 5 * time.Minute},
		{"zero", `0`, "abc", 0},
		{"less than a second", `0.5`, "abc", 0},
		{"negative", `-1`, "abc", 0},
		{"huge", `99999999999999999999`, "abc", maxLifetime},
		{"beyond floating point", `1e999`, "abc", maxLifetime},
		{"negative beyond floating point", `-1e999`, "abc", 0},
		{"word", `"soon"`, "abc", 5 * time.Minute},
		{"infinity", `"inf"`, "abc", 5 * time.Minute},
		{"object", `{}`, "abc", 5 * time.Minute},
		{"missing, with a JWT", ``, dayOff, 2 * time.Minute},
		{"zero, with a JWT", `0`, dayOff, 0},
		{"negative, with a JWT", `"-5"`, dayOff, 0},
		{"empty string, with a JWT", `""`, dayOff, 2 * time.Minute},
		{"number, with a JWT", `60`, dayOff, time.Minute},
		{"JWT without iat", ``, jwt(`{"exp":1700086520}`), 5 * time.Minute},
		{"JWT that expired before it was issued", ``, jwt(`{"iat":2,"exp":1}`), 5 * time.Minute},
		{"JWT valid for ever", ``, jwt(`{"iat":1,"exp":1e300}`), maxLifetime},
		{"two dots, but not a JWT", ``, "a.b.c", 5 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"}`, tc.token)
			if tc.expiresIn != "" {
				body = fmt.Sprintf(`{"access_token":%q,"expires_in":%s}`, tc.token, tc.expiresIn)
			}
			got, err := parseTokenResponse([]byte(body), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if got.lifetime != tc.want || got.authorization != "Bearer "+tc.token {
				t.Errorf("parseTokenResponse = %v of %q, want %v of %q", got.lifetime, got.authorization, tc.want, tc.token)
			}
		})
	}
}

func TestInterpretResponse(t *testing.T) {
	t.Parallel()
	const good = `{"access_token":"abc","token_type":"Bearer","expires_in":300}`
	for _, tc := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   Outcome
		reason string // a part of it
	}{
		{"documented response", 200, nil, good, OutcomeSuccess, ""},
		{"lower-case bearer", 200, nil, `{"access_token":"abc","token_type":"bearer"}`, OutcomeSuccess, ""},
		{"no token_type", 200, nil, `{"access_token":"abc"}`, OutcomeSuccess, ""},
		{"mac", 200, nil, `{"access_token":"abc","token_type":"mac"}`, OutcomeInvalidResponse, "token_type"},
		{"HTML", 200, nil, "<!doctype html><title>Log in</title>", OutcomeInvalidResponse, "HTML"},
		{"empty", 200, nil, "", OutcomeInvalidResponse, "empty"},
		{"text", 200, nil, "ok", OutcomeInvalidResponse, "not a JSON object"},
		{"array", 200, nil, "[]", OutcomeInvalidResponse, "not a JSON object"},
		{"null", 200, nil, "null", OutcomeInvalidResponse, "no access_token"},
		{"deeply nested", 200, nil, strings.Repeat("[", 100_000), OutcomeInvalidResponse, "not a JSON object"},
		{"no access_token", 200, nil, `{"expires_in":300}`, OutcomeInvalidResponse, "no access_token"},
		{"access_token is a number", 200, nil, `{"access_token":5}`, OutcomeInvalidResponse, "not a JSON object"},
		{"CR in the token", 200, nil, `{"access_token":"a\rb"}`, OutcomeInvalidResponse, "characters"},
		{"LF in the token", 200, nil, `{"access_token":"a\nX-Evil: 1"}`, OutcomeInvalidResponse, "characters"},
		{"space in the token", 200, nil, `{"access_token":"a b"}`, OutcomeInvalidResponse, "characters"},
		{"= in the middle", 200, nil, `{"access_token":"a=b"}`, OutcomeInvalidResponse, "characters"},
		{"= at the end", 200, nil, `{"access_token":"ab=="}`, OutcomeSuccess, ""},
		{"only =", 200, nil, `{"access_token":"="}`, OutcomeInvalidResponse, "characters"},
		{"200 with a credential error", 200, nil, `{"error":"invalid_client"}`, OutcomeInvalidResponse, "invalid_client"},
		{"200 with another error", 200, nil, `{"error":"server_error"}`, OutcomeInvalidResponse, "server_error"},
		{"201", 201, nil, good, OutcomeInvalidResponse, "201"},
		{"204", 204, nil, "", OutcomeInvalidResponse, "204"},
		{"400 invalid_client", 400, nil, `{"error":"invalid_client"}`, OutcomeRejected, "invalid_client"},
		{"400 unauthorized_client", 400, nil, `{"error":"unauthorized_client"}`, OutcomeRejected, "unauthorized_client"},
		{"400 invalid_grant", 400, nil, `{"error":"invalid_grant"}`, OutcomeRejected, "invalid_grant"},
		{"400 unsupported_grant_type", 400, nil, `{"error":"unsupported_grant_type"}`, OutcomeRejected, "unsupported_grant_type"},
		{"400 invalid_scope", 400, nil, `{"error":"invalid_scope"}`, OutcomeRejected, "invalid_scope"},
		{"401 invalid_client", 401, nil, `{"error":"invalid_client"}`, OutcomeRejected, "401 Unauthorized, invalid_client"},
		{"403 access_denied", 403, nil, `{"error":"access_denied"}`, OutcomeRejected, "access_denied"},
		{"404 invalid_client", 404, nil, `{"error":"invalid_client"}`, OutcomeInvalidResponse, "404"},
		{"500 invalid_client", 500, nil, `{"error":"invalid_client"}`, OutcomeUnavailable, "500"},
		{"401 without a body", 401, nil, "", OutcomeUnavailable, "something between the broker and the login server refused the request (401, empty)"},
		{"403 with HTML", 403, nil, " <html>", OutcomeUnavailable, "(403, HTML)"},
		{"403 of a gateway", 403, nil, `{"message":"Forbidden"}`, OutcomeUnavailable, "(403, JSON without an OAuth error)"},
		{"403 with its own error", 403, nil, `{"error":"Forbidden"}`, OutcomeUnavailable, "(403, JSON without an OAuth error)"},
		{"403 with text", 403, nil, "blocked", OutcomeUnavailable, "(403, text)"},
		{"400 invalid_request", 400, nil, `{"error":"invalid_request"}`, OutcomeInvalidResponse, "invalid_request"},
		{"400 without a body", 400, nil, "", OutcomeInvalidResponse, "400"},
		{"400 temporarily_unavailable", 400, nil, `{"error":"temporarily_unavailable"}`, OutcomeUnavailable, "400"},
		{"404", 404, nil, "<html>", OutcomeInvalidResponse, "404"},
		{"307", 307, http.Header{"Location": {"https://elsewhere.example/"}}, "", OutcomeInvalidResponse, "redirect"},
		{"408", 408, nil, "", OutcomeUnavailable, "408"},
		{"425", 425, nil, "", OutcomeUnavailable, "425"},
		{"429", 429, nil, "", OutcomeUnavailable, "429"},
		{"500", 500, nil, "", OutcomeUnavailable, "500"},
		{"503", 503, nil, good, OutcomeUnavailable, "503 Service Unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, failure := interpretResponse(&http.Response{StatusCode: tc.status, Header: tc.header}, []byte(tc.body), time.Now())
			outcome, reason := OutcomeSuccess, ""
			if failure != nil {
				outcome, reason = failure.Outcome, failure.Reason
				if failure.Advice == "" || got != nil || tc.status != 200 && failure.Status != tc.status {
					t.Errorf("failure %+v with a token: %t, want advice, the status and no token", failure, got != nil)
				}
				if strings.Contains(reason, "elsewhere") {
					t.Errorf("reason %q quotes the server", reason)
				}
			}
			if outcome != tc.want || !strings.Contains(reason, tc.reason) {
				t.Errorf("outcome %s (%s), want %s (… %s …)", outcome, reason, tc.want, tc.reason)
			}
		})
	}
}

// The response's Date, and not the broker's clock, says how far off a token's nbf is.
func TestNotBeforeIsRelativeToDate(t *testing.T) {
	t.Parallel()
	const date = "Tue, 14 Nov 2023 22:13:20 GMT" // 1700000000
	for _, tc := range []struct {
		name, claims, date string
		want               time.Duration
	}{
		{"later", `{"nbf":1700000003}`, date, 3 * time.Second},
		{"fraction", `{"nbf":1700000000.5}`, date, 500 * time.Millisecond},
		{"now", `{"nbf":1700000000}`, date, 0},
		{"earlier", `{"nbf":1699999999}`, date, 0},
		{"none", `{}`, date, 0},
		{"never", `{"nbf":1e300}`, date, maxLifetime},
		{"no Date", `{"nbf":1700000003}`, "", 0},
		{"not a JWT", ``, date, 0},
	} {
		got, failure := interpretResponse(&http.Response{StatusCode: 200, Header: http.Header{"Date": {tc.date}}}, []byte(`{"access_token":"`+jwt(tc.claims)+`"}`), time.Now())
		if failure != nil {
			t.Fatalf("%s: %v", tc.name, failure)
		}
		if delay := time.Duration(got.notAcceptedFor.Load()); delay != tc.want {
			t.Errorf("%s: not accepted for %v, want %v", tc.name, delay, tc.want)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		" 5 ":                           5 * time.Second,
		"0":                             0,
		"-5":                            0,
		"soon":                          0,
		"99999999999999999999":          0,
		"Thu, 01 Jan 2026 12:01:00 GMT": time.Minute,
		"Thu, 01 Jan 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}

func FuzzParseTokenResponse(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"abc","token_type":"Bearer","expires_in":300}`,
		`{"access_token":"` + jwt(`{"iat":1,"exp":301}`) + `","expires_in":"0"}`,
		`{"error":"invalid_client","error_description":"x"}`, `[]`, ``, `<html>`, `{"access_token":"a\n"}`, `{"expires_in":1e999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseTokenResponse(body, time.Time{})
		switch {
		case err != nil && got != nil:
			t.Fatalf("error %v with a token, want none", err)
		case err != nil:
		case !isB64Token(strings.TrimPrefix(got.authorization, "Bearer ")):
			t.Fatalf("authorization %q, want a b64token", got.authorization)
		case got.lifetime < 0 || got.lifetime > maxLifetime:
			t.Fatalf("lifetime %v, want from 0 to %v", got.lifetime, maxLifetime)
		}
	})
}
