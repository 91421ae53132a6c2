package door

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

// Keys are the access keys that an app may show: one, and for a minute those before it. It keeps digests alone. Valid may
// be called from any goroutine, Change from one at a time.
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

// Change makes another key valid, and those before it for one minute more. It reports whether it is another.
func (k *Keys) Change(text string) bool {
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

// Valid reports whether the headers of a request show a valid key: as a bearer token (RFC 6750 section 2.1), or as the
// password of whatever user (RFC 7617 section 2). How long it takes tells nothing about the keys.
func (k *Keys) Valid(header http.Header) bool {
	shown, ok := keyIn(header)
	digest := sha256.Sum256([]byte(shown))
	now := time.Now()
	valid := 0
	for _, one := range *k.valid.Load() {
		if one.until.IsZero() || now.Before(one.until) {
			valid |= subtle.ConstantTimeCompare(digest[:], one.digest[:])
		}
	}
	return ok && valid == 1
}

// keyIn takes the key out of the Authorization header, of which there must be one.
func keyIn(header http.Header) (string, bool) {
	values := header["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	if scheme, token, ok := strings.Cut(values[0], " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.Trim(token, " "), true
	}
	_, password, ok := (&http.Request{Header: header}).BasicAuth()
	return password, ok
}

var keyRefused = &Refusal{
	Reason: Key,
	Status: http.StatusUnauthorized,
	What:   "the request does not show the broker's access key",
	Advice: "Send it as \"Authorization: Bearer KEY\", or as the password of Basic authentication with any user name. It is what BROKER_ACCESS_KEY or BROKER_ACCESS_KEY_FILE holds.",
	Header: http.Header{"Www-Authenticate": {`Bearer realm="etrusted-broker"`, `Basic realm="etrusted-broker", charset="UTF-8"`}},
}
