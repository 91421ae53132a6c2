package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// keyOverlap is how long a key is still taken after another has replaced it: app and broker cannot learn of the new one
// at the same moment.
const keyOverlap = time.Minute

// Keys are the access keys that an app may show: one, and for a minute those before it. It keeps digests alone. Is may be
// called from any goroutine, Change from one at a time.
type Keys struct {
	valid atomic.Pointer[[]key]
}

type key struct {
	digest [sha256.Size]byte
	until  time.Time // zero for the one that has not been replaced
}

// NewKeys returns Keys of which the given one is valid. It must not be empty.
func NewKeys(text string) *Keys {
	k := new(Keys)
	k.valid.Store(&[]key{{digest: sha256.Sum256([]byte(text))}})
	return k
}

// Rotate makes another key valid, and those before it for one minute more. It reports whether it is another.
func (k *Keys) Rotate(text string) bool {
	now := time.Now()
	next := []key{{digest: sha256.Sum256([]byte(text))}}
	for _, old := range *k.valid.Load() {
		switch {
		case old.until.IsZero() && old.digest == next[0].digest:
			return false
		case old.until.IsZero():
			old.until = now.Add(keyOverlap)
		case now.After(old.until):
			continue
		}
		next = append(next, old)
	}
	k.valid.Store(&next)
	return true
}

// Valid reports whether text is a valid key. How long it takes tells nothing about the keys.
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

// CheckKey returns a refusal for a request that does not show the access key where it must: as a bearer token (RFC 6750
// section 2.1), in one that the broker gave out itself, or as the password of whatever user (RFC 7617 section 2). An app
// that takes the broker for its proxy may show it in Proxy-Authorization; one that has come through a tunnel showed it when
// that was opened.
func (d *Policy) CheckKey(r *http.Request) *Refusal {
	if d.config.Keys == nil || d.HasProxyKey(r) || d.hasValidKey(r.Header["Authorization"]) {
		return nil
	}
	if Tunnelled(r) {
		return staleTunnelRefused
	}
	return keyRefused
}

// HasProxyKey reports whether a request came from an app that takes the broker for its proxy, and has shown it the access
// key as such.
func (d *Policy) HasProxyKey(r *http.Request) bool {
	if d.config.Keys == nil {
		return false
	}
	if tunnel, tunnelled := tunnelOf(r); tunnelled {
		return d.hasValidKey(tunnel.shown)
	}
	return r.URL.Host != "" && d.hasValidKey(r.Header["Proxy-Authorization"])
}

// hasValidKey reports whether the values of a header, of which there must be one, show a valid key.
func (d *Policy) hasValidKey(values []string) bool {
	if len(values) != 1 {
		return false
	}
	if token, ok := Bearer(values[0]); ok {
		return d.config.Keys.Valid(d.config.KeyFromToken(token))
	}
	_, password, ok := (&http.Request{Header: http.Header{"Authorization": values}}).BasicAuth()
	return ok && d.config.Keys.Valid(password)
}

// Bearer returns the token in the value of an Authorization header (RFC 6750 section 2.1), and false if it has none.
func Bearer(authorization string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.Trim(token, " "), true
}

var keyRefused = &Refusal{
	Reason: ReasonKey,
	Status: http.StatusUnauthorized,
	What:   "the request does not show the broker's access key",
	Advice: "Send it as \"Authorization: Bearer KEY\", or as the password of Basic authentication with any user name. It is what BROKER_ACCESS_KEY or BROKER_ACCESS_KEY_FILE holds.",
	Header: http.Header{"Www-Authenticate": {`Bearer realm="etrusted-broker"`, `Basic realm="etrusted-broker", charset="UTF-8"`}},
}
