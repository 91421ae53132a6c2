package tokensource

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
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
			return nil, notTokenResponseError(err.Error())
		}
		return fresh, nil
	}
	refreshErr := interpretErrorResponse(response.StatusCode, body)
	refreshErr.Status = response.StatusCode
	refreshErr.RetryAfter = retryAfter(response.Header.Get("Retry-After"), now)
	return nil, refreshErr
}

func interpretErrorResponse(status int, body []byte) *RefreshError {
	var response struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &response) // then there is no code
	code := replaceUnknownErrorCode(response.Error)
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	switch {
	case isRejectionCode(code) && (refused || status == http.StatusBadRequest):
		return rejectedError(status, code)
	case status >= 300 && status < 400:
		return notTokenResponseError(fmt.Sprintf("it is a redirect (%d), which is never followed, because it would send the secret to another address", status))
	case isTemporaryStatus(status), code == "temporarily_unavailable":
		refreshErr := &RefreshError{Outcome: OutcomeUnavailable, Reason: "the login server answered " + statusText(status, ""), Advice: outageAdvice}
		if status == http.StatusTooManyRequests {
			refreshErr.Advice = rateLimitAdvice
		}
		return refreshErr
	case refused && (code == "" || code == unknownErrorCode):
		return &RefreshError{
			Outcome: OutcomeUnavailable, // such as a firewall's block page, which says nothing about the credentials
			Reason:  fmt.Sprintf("something between the broker and the login server refused the request (%d, %s)", status, bodyFormatForMessage(body)),
			Advice:  "Often it is a firewall or a proxy that filters requests: let it pass POST requests from this machine to the URL in ETRUSTED_TOKEN_URL. The broker retries automatically.",
		}
	case code != "":
		refreshErr := notTokenResponseError(statusText(status, code))
		refreshErr.Parameters = code == "invalid_request" || code == "invalid_target"
		refreshErr.Advice = "Check ETRUSTED_AUDIENCE, ETRUSTED_SCOPES and ETRUSTED_TOKEN_URL. The broker retries automatically."
		return refreshErr
	default:
		return notTokenResponseError(fmt.Sprintf("its status is %d", status))
	}
}

// isRejectionCode reports whether an error code means that the client must be corrected: those of RFC 6749 section 5.2
// except invalid_request, and access_denied, with which eTrusted answers a wrong audience.
func isRejectionCode(code string) bool {
	codes := []string{"invalid_client", "unauthorized_client", "invalid_grant", "unsupported_grant_type", "invalid_scope", "access_denied"}
	return slices.Contains(codes, code)
}

// retryAfter parses a Retry-After header (RFC 9110 section 10.2.3): seconds, or a date. Zero means none, or an invalid one.
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

// bodyFormatForMessage says in which format the body of a response is, without quoting it.
func bodyFormatForMessage(body []byte) string {
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

// describeNonJSONBody says what a body that is not a JSON object appears to be.
func describeNonJSONBody(body []byte) string {
	switch bodyFormatForMessage(body) {
	case "empty":
		return "it is empty"
	case "HTML":
		return "it is HTML or XML, perhaps from a proxy or a wrong URL"
	default:
		return "it is not a JSON object as in RFC 6749"
	}
}

// replaceUnknownErrorCode returns a well-known OAuth error code (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707) or none unchanged, and
// "an unknown error" for any other: a server that echoes its input could put the secret there.
func replaceUnknownErrorCode(code string) string {
	others := []string{"", "invalid_request", "invalid_target", "server_error", "temporarily_unavailable"}
	if isRejectionCode(code) || slices.Contains(others, code) {
		return code
	}
	return unknownErrorCode
}

const unknownErrorCode = "an unknown error"

// parseTokenResponse returns the token in the body of a response. serverTime is when it was made, by the login server's clock;
// zero if that is unknown. The errors complete the sentence "the login server did not return a token response:", and quote
// nothing of the body.
func parseTokenResponse(body []byte, serverTime time.Time) (*token, error) {
	var response struct {
		AccessToken string          `json:"access_token"`
		TokenType   *string         `json:"token_type"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // a number, but some servers send a string
		Error       string          `json:"error"`
	}
	switch err := json.Unmarshal(body, &response); {
	case err != nil:
		return nil, errors.New(describeNonJSONBody(body))
	case response.Error != "":
		return nil, errors.New("it is the error " + replaceUnknownErrorCode(response.Error))
	case response.AccessToken == "":
		return nil, errors.New("it has no access_token")
	case !isB64Token(response.AccessToken):
		return nil, errors.New("its access_token contains invalid characters (RFC 6750 section 2.1)")
	case response.TokenType != nil && !strings.EqualFold(*response.TokenType, "Bearer"):
		return nil, errors.New("its token_type is not Bearer")
	}
	claims := parseJWTTimeClaims(response.AccessToken)
	fresh := &token{authorization: "Bearer " + response.AccessToken, lifetime: tokenLifetime(response.ExpiresIn, claims)}
	fresh.notAcceptedFor.Store(int64(claims.untilValid(serverTime)))
	return fresh, nil
}

// isB64Token reports whether a text is a b64token (RFC 6750 section 2.1). Anything else, above all a line break, could change the
// request that the token is put into.
func isB64Token(text string) bool {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	unpadded := strings.TrimRight(text, "=")
	return unpadded != "" && strings.Trim(unpadded, characters) == ""
}

// tokenLifetime returns how long a token is valid according to its response: expires_in as a number or a numeric
// string, zero or less meaning that it has expired; if it is missing or not a number, the token's own exp − iat (a
// difference, so the server's clock does not matter); otherwise five minutes. It never returns more than a day.
func tokenLifetime(expiresIn json.RawMessage, claims jwtTimeClaims) time.Duration {
	var text json.Number
	seconds := claims.Expires - claims.IssuedAt
	if json.Unmarshal(expiresIn, &text) == nil && text != "" {
		seconds, _ = text.Float64() // 1e999 is out of range: Float64 returns an error and +Inf, which is capped below
	} else if claims.IssuedAt <= 0 || seconds < 1 {
		return defaultLifetime
	}
	return time.Duration(max(0, min(seconds, maxLifetime.Seconds()))) * time.Second
}

// jwtTimeClaims are those of a JWT (RFC 7519 section 4.1) that matter here, in seconds.
type jwtTimeClaims struct {
	Expires   float64 `json:"exp"`
	IssuedAt  float64 `json:"iat"`
	NotBefore float64 `json:"nbf"`
}

// parseJWTTimeClaims returns the claims of a JWT, or zero ones. It verifies no signature: the token came over TLS from its issuer.
func parseJWTTimeClaims(accessToken string) (parsedOrZero jwtTimeClaims) {
	segments := strings.Split(accessToken, ".")
	if len(segments) != 3 {
		return jwtTimeClaims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil || json.Unmarshal(payload, &parsedOrZero) != nil {
		return jwtTimeClaims{}
	}
	return parsedOrZero
}

// untilValid returns how long after serverTime a token with these claims becomes valid.
func (c jwtTimeClaims) untilValid(serverTime time.Time) time.Duration {
	if serverTime.IsZero() {
		return 0
	}
	seconds := c.NotBefore - float64(serverTime.Unix())
	return time.Duration(max(0, min(seconds, maxLifetime.Seconds())) * float64(time.Second))
}
