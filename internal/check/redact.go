package check

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"etrusted-broker/internal/printable"
)

// redactor sanitizes and truncates text from peers, and withholds it if it contains a secret. A peer that knows the secrets,
// as the login server does, could put them into a certificate's name or a token's claims, and so into a ticket.
//
// It is a second line of defence: it recognizes only the usual encodings of a secret.
type redactor struct {
	forms []string
}

// withheld replaces a text that contains a secret.
const withheld = "(withheld: it contains a secret)"

// addSecret registers a secret.
func (r *redactor) addSecret(secret string) {
	for _, form := range []string{
		secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		if form = alphanumeric(form); form != "" {
			r.forms = append(r.forms, form)
		}
	}
}

// containsSecret reports whether text contains a registered secret.
func (r *redactor) containsSecret(text string) bool {
	text = alphanumeric(text)
	return slices.ContainsFunc(r.forms, func(form string) bool { return strings.Contains(text, form) })
}

// alphanumeric returns the letters and digits of a text in lower case: what remains of it after any sanitizing.
func alphanumeric(text string) string {
	return strings.Map(func(r rune) rune {
		if !isAlphanumeric(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

func isAlphanumeric(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

const (
	// maxWordLength bounds the length of one name, and maxWords how many are shown.
	maxWordLength = 80
	maxWords      = 8
	// maxSentence bounds the reason that another broker reports.
	maxSentence = 1000
)

// The punctuation that sanitize keeps: what is usual in host names, and in URLs, scopes and roles.
const (
	hostPunctuation  = ".*"
	claimPunctuation = ".*_:/@"
)

// sanitize sanitizes one word from a peer: characters other than letters, digits and punctuation become a dash.
func (r *redactor) sanitize(text, punctuation string) string {
	if r.containsSecret(text) {
		return withheld
	}
	var clean strings.Builder
	for _, char := range text {
		switch {
		case clean.Len() >= maxWordLength:
			return clean.String() + "..."
		case isAlphanumeric(char) || strings.ContainsRune(punctuation, char):
			clean.WriteRune(char)
		case !strings.HasSuffix(clean.String(), "-"):
			clean.WriteByte('-')
		}
	}
	if strings.Trim(clean.String(), "-") == "" {
		return "(no name)"
	}
	return clean.String()
}

// claims sanitizes a list of words. A secret may be split over several words, so the whole list is checked too.
func (r *redactor) claims(words []string) []string {
	clean := []string{}
	if r.containsSecret(strings.Join(words, "")) {
		return append(clean, withheld)
	}
	for i, word := range words {
		if i == maxWords {
			return append(clean, fmt.Sprintf("and %d more", len(words)-maxWords))
		}
		clean = append(clean, r.sanitize(word, claimPunctuation))
	}
	return clean
}

// sentence sanitizes the reason that another broker reports: one line.
func (r *redactor) sentence(text string) string {
	if r.containsSecret(text) {
		return withheld
	}
	return printable.Escape(strings.TrimSpace(text), maxSentence)
}
