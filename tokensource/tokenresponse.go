package tokensource

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
)

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
		return nil, errors.New(describeBody(body))
	case response.Error != "":
		return nil, errors.New("it is the error " + knownErrorCode(response.Error))
	case response.AccessToken == "":
		return nil, errors.New("it has no access_token")
	case !isB64Token(response.AccessToken):
		return nil, errors.New("its access_token contains invalid characters (RFC 6750 section 2.1)")
	case response.TokenType != nil && !strings.EqualFold(*response.TokenType, "Bearer"):
		return nil, errors.New("its token_type is not Bearer")
	}
	claims := parseClaims(response.AccessToken)
	fresh := &token{authorization: "Bearer " + response.AccessToken, lifetime: tokenLifetime(response.ExpiresIn, claims)}
	fresh.notAcceptedFor.Store(int64(claims.untilValid(serverTime)))
	return fresh, nil
}

// isB64Token reports whether a text is a b64token (RFC 6750 section 2.1). Anything else, above all a line break, could change the
// request that the token is put into.
var isB64Token = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`).MatchString

// tokenLifetime returns how long a token is valid according to its response: expires_in as a number or a numeric
// string, zero or less meaning that it has expired; if it is missing or not a number, the token's own exp − iat (a
// difference, so the server's clock does not matter); otherwise five minutes. It never returns more than a day.
func tokenLifetime(expiresIn json.RawMessage, claims claims) time.Duration {
	var text json.Number
	seconds := claims.Expires - claims.IssuedAt
	if json.Unmarshal(expiresIn, &text) == nil && text != "" {
		seconds, _ = text.Float64() // 1e999 is out of range: Float64 returns an error and +Inf, which is capped below
	} else if claims.IssuedAt <= 0 || seconds < 1 {
		return defaultLifetime
	}
	return time.Duration(max(0, min(seconds, maxLifetime.Seconds()))) * time.Second
}

// claims are those of a JWT (RFC 7519 section 4.1) that matter here, in seconds.
type claims struct {
	Expires   float64 `json:"exp"`
	IssuedAt  float64 `json:"iat"`
	NotBefore float64 `json:"nbf"`
}

// parseClaims returns the claims of a JWT; zero for another token. The signature is not verified: the token came over TLS from
// its issuer.
func parseClaims(accessToken string) (parsed claims) {
	segments := strings.Split(accessToken, ".")
	if len(segments) != 3 {
		return claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil || json.Unmarshal(payload, &parsed) != nil {
		return claims{}
	}
	return parsed
}

// untilValid returns how long after serverTime a token with these claims becomes valid.
func (c claims) untilValid(serverTime time.Time) time.Duration {
	if serverTime.IsZero() {
		return 0
	}
	seconds := c.NotBefore - float64(serverTime.Unix())
	return time.Duration(max(0, min(seconds, maxLifetime.Seconds())) * float64(time.Second))
}
