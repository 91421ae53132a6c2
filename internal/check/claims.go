package check

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// maxToken bounds the token that is parsed, in bytes. Those of eTrusted have a few kB.
const maxToken = 64 << 10

// claims are those of a token (RFC 7519 section 4.1, and Keycloak's own). The signature is not verified, so they are only
// displayed, redacted, and nothing is decided by them.
type claims struct {
	lifetime time.Duration // exp - iat; 0 if unknown
	client   string        // azp
	audience []string
	scopes   []string
	roles    []string
}

// readClaims parses the payload of a JWT. It reports false for anything else. A claim of the wrong type counts as missing.
func readClaims(token string) (claims, bool) {
	segments := strings.Split(token, ".")
	if len(token) > maxToken || len(segments) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil {
		return claims{}, false
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(payload, &all) != nil || all == nil {
		return claims{}, false
	}
	return claims{
		lifetime: lifetime(decodeAs[float64](all["iat"]), decodeAs[float64](all["exp"])),
		client:   decodeAs[string](all["azp"]),
		audience: stringOrList(all["aud"]),
		scopes:   strings.Fields(decodeAs[string](all["scope"])),
		roles:    rolesIn(all),
	}, true
}

// decodeAs decodes a value of type T. It returns the zero value for JSON of another type.
func decodeAs[T any](raw json.RawMessage) T {
	var value, zero T
	if json.Unmarshal(raw, &value) != nil {
		return zero
	}
	return value
}

func lifetime(issued, expires float64) time.Duration {
	const day = 24 * 60 * 60
	seconds := expires - issued
	if issued <= 0 || math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	return time.Duration(min(seconds, day)) * time.Second
}

// stringOrList decodes aud, which may be one string or a list of strings: RFC 7519 section 4.1.3.
func stringOrList(raw json.RawMessage) []string {
	if one := decodeAs[string](raw); one != "" {
		return []string{one}
	}
	return decodeAs[[]string](raw)
}

// rolesIn returns those of the realm and of each resource, without the resource's name, which may be the Client ID.
func rolesIn(all map[string]json.RawMessage) []string {
	type granted struct {
		Roles []string `json:"roles"`
	}
	roles := decodeAs[granted](all["realm_access"]).Roles
	resources := decodeAs[map[string]json.RawMessage](all["resource_access"])
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		roles = append(roles, decodeAs[granted](resources[name]).Roles...)
	}
	return roles
}
