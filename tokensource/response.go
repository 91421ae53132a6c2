package tokensource

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"
)

// issuedToken is an access token that the login server issued.
type issuedToken struct {
	accessToken string
	lifetime    time.Duration
}

// responseBody has the fields of RFC 6749 sections 5.1 and 5.2 that are used here. expires_in is decoded separately,
// because servers send it as a number or as a string.
type responseBody struct {
	AccessToken string          `json:"access_token"`
	TokenType   *string         `json:"token_type"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Error       string          `json:"error"`
}

// parseTokenResponse reads the body of a token response: an issued token, or else an OAuth error code. Its errors
// complete the sentence "the login server did not return a token response:", and quote nothing of the body.
func parseTokenResponse(body []byte) (issued issuedToken, code string, err error) {
	var response responseBody
	if err := json.Unmarshal(body, &response); err != nil {
		return issuedToken{}, "", errors.New(describeBody(body))
	}
	if response.Error != "" {
		return issuedToken{}, knownErrorCode(response.Error), nil
	}
	if response.AccessToken == "" {
		return issuedToken{}, "", errors.New("it has no access_token")
	}
	if !isB64Token(response.AccessToken) {
		return issuedToken{}, "", errors.New("its access_token contains invalid characters (RFC 6750 section 2.1)")
	}
	if response.TokenType != nil && !strings.EqualFold(*response.TokenType, "Bearer") {
		return issuedToken{}, "", errors.New("its token_type is not Bearer")
	}
	return issuedToken{
		accessToken: response.AccessToken,
		lifetime:    tokenLifetime(response.ExpiresIn, response.AccessToken),
	}, "", nil
}

// describeBody says what a body that is not a JSON object appears to be.
func describeBody(body []byte) string {
	text := strings.TrimSpace(string(body[:min(len(body), 512)]))
	switch {
	case text == "":
		return "it is empty"
	case strings.HasPrefix(text, "<"):
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
	if json.Unmarshal(body, &response) != nil || response.Error == "" {
		return ""
	}
	return knownErrorCode(response.Error)
}

// knownErrorCode returns a well-known OAuth error code (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707) unchanged, and
// "an unknown error" for any other: a server that echoes its input could put the secret there.
func knownErrorCode(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "invalid_target", "server_error", "temporarily_unavailable":
		return code
	default:
		return "an unknown error"
	}
}

// isB64Token reports whether s is a b64token of RFC 6750 section 2.1: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+"
// / "/" ) *"=". Anything else, above all a line break, could change the request that the token is put into.
func isB64Token(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// tokenLifetime returns how long a token is valid according to its response: expires_in as a number or a numeric
// string; if that is missing or not positive, the token's own exp − iat (a difference, so the server's clock does not
// matter); otherwise five minutes. It never returns more than a day.
func tokenLifetime(expiresIn json.RawMessage, accessToken string) time.Duration {
	seconds := parseNumber(expiresIn)
	if seconds < 1 {
		seconds = jwtLifetime(accessToken)
	}
	if seconds < 1 {
		return defaultLifetime
	}
	if seconds >= maxLifetime.Seconds() {
		return maxLifetime
	}
	return time.Duration(math.Floor(seconds)) * time.Second
}

// parseNumber reads a JSON number, or a JSON string that contains one. It returns 0 for anything else.
func parseNumber(raw json.RawMessage) float64 {
	var text json.Number
	if json.Unmarshal(raw, &text) != nil {
		return 0
	}
	value, _ := text.Float64() // 1e999 is out of range: Float64 returns an error and +Inf, which tokenLifetime caps
	return value
}

// jwtLifetime returns exp − iat of a JWT (RFC 7519 section 4.1) in seconds. It does not verify the signature: the token
// came over TLS from the server that issued it. It returns 0 if the token is not a JWT or lacks a claim.
func jwtLifetime(accessToken string) float64 {
	segments := strings.Split(accessToken, ".")
	if len(segments) != 3 {
		return 0
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil {
		return 0
	}
	var claims struct {
		Expires  float64 `json:"exp"`
		IssuedAt float64 `json:"iat"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.IssuedAt <= 0 {
		return 0
	}
	return claims.Expires - claims.IssuedAt
}
