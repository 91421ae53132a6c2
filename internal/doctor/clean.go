package doctor

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"etrusted-broker/internal/printable"
)

// keeper lets a peer's words out, if it must be: cleaned, bounded, and not if a secret is in them. Who knows the secrets
// (the login server does) could put them into a certificate's name or a token's claims, and so into a ticket.
//
// It is a second lock and no more: of all the ways to write a secret, it knows the usual ones.
type keeper struct {
	forms []string
}

// withheld stands in place of what is not let out.
const withheld = "(withheld: it repeats a secret)"

// add keeps one more secret.
func (k *keeper) add(secret string) {
	for _, form := range []string{
		secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		if form = squashed(form); form != "" {
			k.forms = append(k.forms, form)
		}
	}
}

// hides reports whether a secret is in the text.
func (k *keeper) hides(text string) bool {
	text = squashed(text)
	for _, form := range k.forms {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// squashed is what is left of a text whatever cleaning does to it: its letters and digits.
func squashed(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return -1
	}, text)
}

const (
	// maxWord bounds one name, and maxWords how many of them are shown.
	maxWord  = 80
	maxWords = 8
	// maxSentence bounds what a broker says of itself.
	maxSentence = 1000
)

// name cleans a name out of a certificate: what a host name may hold, and a dash for all else.
func (k *keeper) name(text string) string {
	return k.word(text, ".*")
}

// claim cleans a word out of a token: what URLs, scopes and roles are made of, and a dash for all else.
func (k *keeper) claim(text string) string {
	return k.word(text, ".*_:/@")
}

func (k *keeper) word(text, marks string) string {
	if k.hides(text) {
		return withheld
	}
	var clean strings.Builder
	for _, r := range text {
		isWord := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(marks, r)
		switch {
		case clean.Len() >= maxWord:
			return clean.String() + "..."
		case isWord:
			clean.WriteRune(r)
		case !strings.HasSuffix(clean.String(), "-"):
			clean.WriteByte('-')
		}
	}
	if strings.Trim(clean.String(), "-") == "" {
		return "(no name)"
	}
	return clean.String()
}

// claims cleans a list of words. A secret may have been cut in pieces, so the list is looked at as a whole too.
func (k *keeper) claims(words []string) []string {
	clean := []string{}
	if k.hides(strings.Join(words, "")) {
		return append(clean, withheld)
	}
	for i, word := range words {
		if i == maxWords {
			return append(clean, fmt.Sprintf("and %d more", len(words)-maxWords))
		}
		clean = append(clean, k.claim(word))
	}
	return clean
}

// sentence cleans what a broker says of itself: one line.
func (k *keeper) sentence(text string) string {
	if k.hides(text) {
		return withheld
	}
	return printable.Escape(strings.TrimSpace(text), maxSentence)
}
