package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"etrusted-broker/proxy/http1"
)

// keyGracePeriod is how long a key stays valid after its removal: app and broker cannot learn of a new one at the same moment.
const keyGracePeriod = time.Minute

// Keys are the access keys that are valid: the current ones, and those that were removed within the last minute. Only
// digests are kept. Replace must be called from one goroutine at a time.
type Keys struct {
	valid atomic.Pointer[[]key]
}

type key struct {
	digest [sha256.Size]byte
	until  time.Time // zero for a current key
}

// NewKeys returns Keys with these valid keys, which must not be empty.
func NewKeys(accessKeys ...string) *Keys {
	k := new(Keys)
	k.valid.Store(&[]key{})
	k.Replace(accessKeys...)
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
			old.until, changed = now.Add(keyGracePeriod), true
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

// Digests returns the SHA-256 digests of the current keys, to compare them with others.
func (k *Keys) Digests() (digests []string) {
	for _, one := range *k.valid.Load() {
		if one.until.IsZero() {
			digests = append(digests, string(one.digest[:]))
		}
	}
	return digests
}

// contain reports whether the digest is that of a valid key, in a time that does not depend on the keys.
func (k *Keys) contain(digest [sha256.Size]byte, now time.Time) bool {
	valid := 0
	for _, one := range *k.valid.Load() {
		if one.until.IsZero() || now.Before(one.until) {
			valid |= subtle.ConstantTimeCompare(digest[:], one.digest[:])
		}
	}
	return valid == 1
}

// singleValue returns the value of a field; empty if it is missing. It reports whether the field has several lines, of which none
// counts: neither field for credentials is a list (RFC 9110 sections 5.3, 11.6.2 and 11.7.2), and who sends a request must not
// depend on their order.
func singleValue(fields http1.Fields, name string) (value string, repeated bool) {
	lines := 0
	for line := range fields.Lines(name) {
		if lines++; lines > 1 {
			return "", true
		}
		value = line
	}
	return value, false
}

// keyIn returns the access key in the value of a field for credentials: a bearer token (RFC 6750 section 2.1), the key within a
// placeholder token, or the password of any user (RFC 7617 section 2). It is empty without a key.
func (p *Policy) keyIn(credentials string) string {
	if token, ok := BearerToken(credentials); ok {
		if p.KeyFromToken != nil {
			token = p.KeyFromToken(token)
		}
		return token
	}
	_, password, _ := (&http.Request{Header: http.Header{"Authorization": {credentials}}}).BasicAuth()
	return password
}

// BearerToken returns the token in the value of an Authorization field (RFC 6750 section 2.1), and false if it has none.
func BearerToken(authorization string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.Trim(token, " "), true
}
