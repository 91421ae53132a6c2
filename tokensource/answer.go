package tokensource

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"
)

// answer is a token answer that could be read: a grant, or an error code.
type answer struct {
	grant
	errorCode string
}

// wireAnswer has the fields of RFC 6749 sections 5.1 and 5.2 that matter here. expires_in is read apart, since
// servers send it as a number and as a string.
type wireAnswer struct {
	AccessToken string          `json:"access_token"`
	TokenType   *string         `json:"token_type"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Error       string          `json:"error"`
}

// parseAnswer reads the body of a token answer. Its errors are the ends of a sentence that begins with "the login
// server's answer is no token answer:", and quote nothing of the body.
func parseAnswer(body []byte) (answer, error) {
	var wire wireAnswer
	if err := json.Unmarshal(body, &wire); err != nil {
		return answer{}, errors.New(whatInstead(body))
	}
	if wire.Error != "" {
		return answer{errorCode: knownCode(wire.Error)}, nil
	}
	if wire.AccessToken == "" {
		return answer{}, errors.New("it has no access_token")
	}
	if !isB64Token(wire.AccessToken) {
		return answer{}, errors.New("its access_token has characters that no token may have (RFC 6750 section 2.1)")
	}
	if wire.TokenType != nil && !strings.EqualFold(*wire.TokenType, "Bearer") {
		return answer{}, errors.New("its token_type is not Bearer")
	}
	return answer{grant: grant{
		accessToken: wire.AccessToken,
		lifetime:    lifetime(wire.ExpiresIn, wire.AccessToken),
	}}, nil
}

// whatInstead says what a body that is no JSON object seems to be.
func whatInstead(body []byte) string {
	text := strings.TrimSpace(string(body[:min(len(body), 512)]))
	switch {
	case text == "":
		return "it is empty"
	case strings.HasPrefix(text, "<"):
		return "it is HTML or XML, such as the page of a proxy or of a wrong address"
	default:
		return "it is not the JSON object that RFC 6749 describes"
	}
}

// errorCode takes the error code out of an error answer: empty if there is none.
func errorCode(body []byte) string {
	var wire struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &wire) != nil || wire.Error == "" {
		return ""
	}
	return knownCode(wire.Error)
}

// knownCode returns a code of the closed set of RFC 6749 section 5.2 as it is, and "an unknown error" for any other:
// a server that echoes its input could say the secret there.
func knownCode(code string) string {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "invalid_target", "server_error", "temporarily_unavailable":
		return code
	default:
		return "an unknown error"
	}
}

// isB64Token reports whether s is a b64token of RFC 6750 section 2.1: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+"
// / "/" ) *"=". Anything else, a line end above all, could change the request that it is put into.
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

// lifetime is how long a token lives by what the answer says: expires_in as a number or a numeric string; where that
// is missing or not positive, the token's own exp − iat (a difference, so that the server's clock does not matter);
// else five minutes. Never more than a day.
func lifetime(expiresIn json.RawMessage, accessToken string) time.Duration {
	seconds := number(expiresIn)
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

// number reads a JSON number, or a JSON string that holds one. It returns 0 for anything else.
func number(raw json.RawMessage) float64 {
	var text json.Number
	if json.Unmarshal(raw, &text) != nil {
		return 0
	}
	value, _ := text.Float64() // 1e999 is out of range: an error, and the infinity that it is taken for
	return value
}

// jwtLifetime is exp − iat in seconds of a JWT (RFC 7519 section 4.1), whose signature is not looked at: the token
// came over TLS from the server that made it. It returns 0 for whatever is no JWT or lacks a claim.
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
