package check

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// redactor sanitizes and truncates names from peers, and withholds them if they contain a secret. A peer that knows the
// secrets, as the login server does, could put them into a certificate's name or a token's claims, and so into a ticket. It is
// a second line of defence: it recognizes only the usual encodings of a secret.
type redactor struct {
	forms []string
}

const (
	// withheld replaces a text that contains a secret.
	withheld = "(withheld: it contains a secret)"
	// maxPeerNameLength bounds the length of one name.
	maxPeerNameLength = 80
)

var (
	// notInPeerNames matches what is not in host names, URLs, scopes and roles.
	notInPeerNames       = regexp.MustCompile(`[^A-Za-z0-9.*_:/@-]+`)
	notLowerAlphanumeric = regexp.MustCompile(`[^a-z0-9]+`)
)

// lowerAlphanumeric returns the letters and digits of a text in lower case: what remains of it after any sanitizing.
func lowerAlphanumeric(text string) string {
	return notLowerAlphanumeric.ReplaceAllString(strings.ToLower(text), "")
}

func (r *redactor) addSecret(secret string) {
	for _, form := range []string{
		secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		if form = lowerAlphanumeric(form); form != "" {
			r.forms = append(r.forms, form)
		}
	}
}

// sanitizeNames sanitizes a list of names. A secret may be split over several, so the whole list is checked too.
func (r *redactor) sanitizeNames(names []string) []string {
	text, clean := lowerAlphanumeric(strings.Join(names, "")), []string{}
	if slices.ContainsFunc(r.forms, func(form string) bool { return strings.Contains(text, form) }) {
		return append(clean, withheld)
	}
	for _, name := range names {
		name = notInPeerNames.ReplaceAllString(name, "-")
		if len(name) > maxPeerNameLength {
			name = name[:maxPeerNameLength] + "..."
		}
		if lowerAlphanumeric(name) == "" {
			name = "(no name)"
		}
		clean = append(clean, name)
	}
	return firstAndMore(clean)
}
