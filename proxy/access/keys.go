package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
)

// keyOverlap is how long a key stays valid after its removal: app and broker cannot learn of a new one at the same moment.
const keyOverlap = time.Minute

// Keys are the access keys that are valid: the current ones, and those that were removed within the last minute. Only
// digests are kept. Valid is safe for concurrent use, Replace must be called from one goroutine at a time.
type Keys struct {
	valid atomic.Pointer[[]key]
}

type key struct {
	digest [sha256.Size]byte
	until  time.Time // zero for a current key
}

// NewKeys returns Keys with these valid keys, which must not be empty.
func NewKeys(texts ...string) *Keys {
	k := new(Keys)
	k.valid.Store(&[]key{})
	k.Replace(texts...)
	return k
}

// Replace makes these keys the current ones. It reports whether they have changed.
func (k *Keys) Replace(texts ...string) (changed bool) {
	now := time.Now()
	valid := *k.valid.Load()
	next := make([]key, 0, len(texts)+len(valid))
	for _, text := range texts {
		added := key{digest: sha256.Sum256([]byte(text))}
		next = append(next, added)
		changed = changed || !slices.Contains(valid, added)
	}
	for _, old := range valid {
		switch {
		case slices.Contains(next, key{digest: old.digest}):
			continue
		case old.until.IsZero():
			old.until, changed = now.Add(keyOverlap), true
		case now.After(old.until):
			continue
		}
		next = append(next, old)
	}
	if changed {
		k.valid.Store(&next)
	}
	return changed
}

// Valid reports whether text is a valid key, in a time that does not depend on the keys.
func (k *Keys) Valid(text string) bool {
	digest := sha256.Sum256([]byte(text))
	now := time.Now()
	valid := 0
	for _, one := range *k.valid.Load() {
		if one.until.IsZero() || now.Before(one.until) {
			valid |= subtle.ConstantTimeCompare(digest[:], one.digest[:])
		}
	}
	return valid == 1
}

// checkKey denies a request without the access key: as a bearer token (RFC 6750 section 2.1), within a placeholder token,
// or as the password of any user (RFC 7617 section 2). A client that uses the broker as its proxy can send it as that
// proxy's password instead: see hasProxyKey.
func (p *Policy) checkKey(r *Request) *problem.Problem {
	switch {
	case p.Keys == nil, p.hasValidKey(only(r.Fields, "Authorization")):
		return nil
	case r.Tunnel != nil:
		return errTunnelAccessKeyExpired
	default:
		return errAccessKeyMissing
	}
}

// hasProxyKey reports whether the client uses the broker as its proxy, and has sent the access key as that proxy's.
func (p *Policy) hasProxyKey(r *Request) bool {
	switch {
	case p.Keys == nil:
		return false
	case r.Tunnel != nil:
		return p.hasValidKey(r.Tunnel.ProxyAuthorization)
	default:
		return r.AbsoluteForm && p.hasValidKey(only(r.Fields, "Proxy-Authorization"))
	}
}

// only returns the value of a field that has one line; empty if it is missing or has several.
func only(fields http1.Fields, name string) string {
	value, found := "", false
	for line := range fields.Lines(name) {
		if found {
			return ""
		}
		value, found = line, true
	}
	return value
}

// hasValidKey reports whether the value of a field for credentials contains a valid key.
func (p *Policy) hasValidKey(credentials string) bool {
	if token, ok := BearerToken(credentials); ok {
		if p.KeyFromToken != nil {
			token = p.KeyFromToken(token)
		}
		return p.Keys.Valid(token)
	}
	_, password, ok := (&http.Request{Header: http.Header{"Authorization": {credentials}}}).BasicAuth()
	return ok && p.Keys.Valid(password)
}

// BearerToken returns the token in the value of an Authorization field (RFC 6750 section 2.1), and false if it has none.
func BearerToken(authorization string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.Trim(token, " "), true
}
