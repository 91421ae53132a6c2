// Package printable makes text of other programs safe for logs and terminals.
//
// A terminal obeys more than ASCII's control characters: U+009B begins a sequence as ESC [ does, U+202E reverses a line,
// and zero-width characters hide what stands between them.
package printable

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns text with each byte of what does not print percent-encoded, and all else as it is: one line, without
// control characters, bidi controls, zero-width and combining characters, or invalid UTF-8. The result has at most limit
// bytes; a longer one ends with "..." after that, and not within a character.
func Escape(text string, limit int) string {
	if len(text) <= limit && isPrintableASCII(text) {
		return text
	}
	var escaped strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		character := text[:size]
		if !isVisible(r) || r == utf8.RuneError && size == 1 {
			character = url.PathEscape(character) // which encodes every byte of what is not visible
		}
		if escaped.Len()+len(character) > limit {
			escaped.WriteString("...")
			break
		}
		escaped.WriteString(character)
		text = text[size:]
	}
	return escaped.String()
}

// isPrintableASCII reports whether a text is of printable ASCII, as nearly all are.
func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// isVisible reports whether a character occupies a cell on a terminal.
func isVisible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.IsMark(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
