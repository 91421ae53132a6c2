package check

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// claims are a token's claims (RFC 7519 section 4.1, and Keycloak's own). The signature is not verified, so they are only
// displayed, redacted, and nothing is decided by them.
type claims struct {
	lifetime                time.Duration // exp - iat; 0 if unknown
	client                  string        // azp
	audience, scopes, roles []string
}

// readClaims parses the payload of a JWT. It reports false for anything else. A claim of the wrong type counts as missing.
func readClaims(jwt string) (unverified claims, ok bool) {
	segments := strings.Split(jwt, ".")
	if len(segments) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	var all map[string]any
	if err != nil || json.Unmarshal(payload, &all) != nil || all == nil {
		return claims{}, false
	}
	scope, _ := all["scope"].(string)
	found := claims{audience: stringList(all["aud"]), scopes: strings.Fields(scope), roles: rolesOf(all["realm_access"])}
	found.client, _ = all["azp"].(string)
	issued, _ := all["iat"].(float64)
	expires, _ := all["exp"].(float64)
	if issued > 0 && expires > issued {
		const day = 24 * 60 * 60 // no token is used longer
		found.lifetime = time.Duration(min(expires-issued, day)) * time.Second
	}
	resources, _ := all["resource_access"].(map[string]any) // by name, which may be the Client ID
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		found.roles = append(found.roles, rolesOf(resources[name])...)
	}
	return found, true
}

// rolesOf returns the roles in a claim of Keycloak's, {"roles": [...]}.
func rolesOf(access any) []string {
	granted, _ := access.(map[string]any)
	return stringList(granted["roles"])
}

// stringList returns the strings of a claim that is one string or a list: RFC 7519 section 4.1.3.
func stringList(claim any) []string {
	if one, ok := claim.(string); ok && one != "" {
		return []string{one}
	}
	var words []string
	values, _ := claim.([]any)
	for _, value := range values {
		if word, ok := value.(string); ok {
			words = append(words, word)
		}
	}
	return words
}
