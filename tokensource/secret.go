package tokensource

import (
	"crypto/subtle"
	"fmt"
	"io"
)

// Secret is text that must not be seen: a client id, a client secret, an access token. Whatever is done to a Secret
// or to a struct that holds one (any verb of fmt, JSON, a logger's reflection), only its size comes out. The zero
// value is the empty secret.
//
// The text is kept behind a pointer, because fmt does not call the methods of unexported fields: there it would print
// a string field, but of a pointer it prints the address.
type Secret struct {
	text *string
}

// NewSecret keeps text as a Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text itself. Each call is a place where a secret leaves its wrapping: there should be few.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether both hold the same text, in a time that does not depend on where they differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "(not set)" or the size: "(set, 36 bytes)".
func (s Secret) String() string {
	if s.text == nil {
		return "(not set)"
	}
	return fmt.Sprintf("(set, %d bytes)", len(*s.text))
}

// Format makes every verb print what String returns: without it %x or %#v would show the text.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // fmt has no use for an error here
}

// MarshalText makes encoders (JSON, loggers) write what String returns.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}
