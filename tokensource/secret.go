package tokensource

import (
	"crypto/subtle"
	"fmt"
	"io"
)

// Secret is text that must never be shown: a client ID, a client secret, an access token. Formatting or encoding a
// Secret, or a struct that contains one, reveals only its size, whichever way (any fmt verb, JSON, a logger's
// reflection). The zero value is the empty secret.
//
// The text is behind a pointer, because fmt does not call the methods of unexported fields: it would print a string, but
// prints only the address of a pointer.
type Secret struct {
	text *string
}

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text. Each call is a place where a secret could leak, so there should be few.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether both are the same text, in time that does not depend on where they differ.
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

// Format implements fmt.Formatter: every verb prints String. Without it %x or %#v would show the text.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // fmt ignores it
}

// MarshalText implements encoding.TextMarshaler: encoders (JSON, loggers) write String.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}
