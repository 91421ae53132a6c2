package tokensource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// interpretResponse maps a response of the token endpoint (RFC 6749 sections 5.1 and 5.2) to a token or an error.
func interpretResponse(response *http.Response, body []byte, now time.Time) (*token, *RefreshError) {
	if response.StatusCode == http.StatusOK {
		date, _ := http.ParseTime(response.Header.Get("Date")) // zero without one
		fresh, err := parseTokenResponse(body, date)
		if err != nil {
			return nil, invalidResponseError(err.Error())
		}
		return fresh, nil
	}
	refreshErr := interpretError(response.StatusCode, body)
	refreshErr.Status = response.StatusCode
	refreshErr.RetryAfter = retryAfter(response.Header.Get("Retry-After"), now)
	return nil, refreshErr
}

func interpretError(status int, body []byte) *RefreshError {
	code := errorCode(body)
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	switch {
	case isRejectionCode(code) && (refused || status == http.StatusBadRequest):
		return rejectedError(status, code)
	case status >= 300 && status < 400:
		return invalidResponseError(fmt.Sprintf("it is a redirect (%d), which is never followed, because it would send the secret to another address", status))
	case isTemporary(status), code == "temporarily_unavailable":
		refreshErr := &RefreshError{Outcome: OutcomeUnavailable, Reason: "the login server answered " + statusText(status, ""), Advice: outageAdvice}
		if status == http.StatusTooManyRequests {
			refreshErr.Advice = rateLimitAdvice
		}
		return refreshErr
	case refused && (code == "" || code == unknownErrorCode):
		return blockedError(status, body)
	case code != "":
		refreshErr := invalidResponseError(statusText(status, code))
		refreshErr.Parameters = code == "invalid_request" || code == "invalid_target"
		refreshErr.Advice = "Check ETRUSTED_AUDIENCE, ETRUSTED_SCOPES and ETRUSTED_TOKEN_URL. The broker retries automatically."
		return refreshErr
	default:
		return invalidResponseError(fmt.Sprintf("its status is %d", status))
	}
}

// isRejectionCode reports whether an error code means that the client must be corrected: those of RFC 6749 section 5.2
// except invalid_request, and access_denied, with which eTrusted answers a wrong audience.
func isRejectionCode(code string) bool {
	switch code {
	case "invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type", "invalid_scope", "access_denied":
		return true
	}
	return false
}

// retryAfter parses a Retry-After header (RFC 9110 section 10.2.3): seconds, or a date. It returns zero without a valid future
// one.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// bodyKind says what kind of text the body of a response is, without quoting it.
func bodyKind(body []byte) string {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return "empty"
	case text[0] == '<':
		return "HTML"
	case json.Valid(text):
		return "JSON without an OAuth error"
	default:
		return "text"
	}
}

// describeBody says what a body that is not a JSON object appears to be.
func describeBody(body []byte) string {
	switch bodyKind(body) {
	case "empty":
		return "it is empty"
	case "HTML":
		return "it is HTML or XML, perhaps from a proxy or a wrong URL"
	default:
		return "it is not a JSON object as in RFC 6749"
	}
}

// errorCode returns the OAuth error code of an error response, or the empty string without one.
func errorCode(body []byte) string {
	var response struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &response) // then there is no code
	return knownErrorCode(response.Error)
}

// knownErrorCode returns a well-known OAuth error code (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707) unchanged, and
// "an unknown error" for any other: a server that echoes its input could put the secret there.
func knownErrorCode(code string) string {
	switch code {
	case "", "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "invalid_target", "server_error", "temporarily_unavailable":
		return code
	default:
		return unknownErrorCode
	}
}

const unknownErrorCode = "an unknown error"
