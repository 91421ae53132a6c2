package operations

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const (
	// These limits are far beyond what the API has: operations of 60 bytes, with seven segments.
	maxOperationLength = 256
	maxMethodLength    = 16
	maxSegments        = 16
	maxWordLength      = 32 // questionnaire-links has 19 letters
	// idPlaceholder replaces a segment that is no word.
	idPlaceholder = "{id}"
)

// Normalize returns the operation of a request as METHOD and path. The path is percent-encoded and has no query; the account in
// front of it, /@NAME, is removed. Of its segments, only words remain, as the API's paths have them: lower-case letters, with
// single hyphens between them, or a version such as v2. Anything else becomes {id}, since it may be personal data: eTrusted's ids
// (rev-UUID), UUIDs, numbers, e-mail addresses, names, article numbers.
//
// It returns false for a request that no pattern with {id} describes: with a doubled slash, an encoded slash, a semicolon and the
// like, with an unusual method, or too long; and if the first segment is no word, since GET /{id} would allow too much.
func Normalize(method, path string) (operation string, ok bool) {
	var buffer [maxOperationLength]byte
	key, ok := normalizeInto(buffer[:0], method, path)
	return string(key), ok
}

// normalizeInto writes what Normalize returns into an empty buffer. It does not grow it: a longer operation is refused.
func normalizeInto(buffer []byte, method, path string) (operation []byte, ok bool) {
	path, isPath := strings.CutPrefix(path, "/")
	if !isPath || !isUpperCaseMethod(method) {
		return nil, false
	}
	if strings.HasPrefix(path, "@") { // the account
		_, path, _ = strings.Cut(path, "/")
	}
	buffer = append(append(buffer, method...), ' ')
	for i := range maxSegments {
		segment, rest, more := strings.Cut(path, "/")
		switch {
		case segment == "" && more: // some servers merge the slashes
			return nil, false
		case segment == "" || isWord(segment):
		case i > 0 && isUnambiguousSegment(segment):
			segment = idPlaceholder
		default:
			return nil, false
		}
		if len(buffer)+1+len(segment) > cap(buffer) {
			return nil, false
		}
		buffer = append(append(buffer, '/'), segment...)
		if !more {
			return buffer, true
		}
		path = rest
	}
	return nil, false
}

// isUpperCaseMethod reports whether a method looks like the API's: upper-case letters.
func isUpperCaseMethod(method string) bool {
	notUpper := func(r rune) bool { return r < 'A' || r > 'Z' }
	return method != "" && len(method) <= maxMethodLength && !strings.ContainsFunc(method, notUpper)
}

// isWord reports whether a segment looks like a fixed part of an API's path: see Normalize.
func isWord(segment string) bool {
	n := len(segment)
	if n > maxWordLength {
		return false
	}
	if (n == 2 || n == 3) && segment[0] == 'v' && strings.Trim(segment[1:], "0123456789") == "" {
		return true
	}
	letter := false // before this character
	for i := range n {
		switch c := segment[i]; {
		case c >= 'a' && c <= 'z':
			letter = true
		case c == '-' && letter:
			letter = false
		default:
			return false
		}
	}
	return letter
}

// isUnambiguousSegment reports whether every server reads a percent-encoded segment as one segment, and as the same: see
// access.AllowList. Without it, a pattern with {id} would not allow the request.
func isUnambiguousSegment(segment string) bool {
	var buffer [maxOperationLength]byte
	decoded := buffer[:0]
	for i := 0; i < len(segment); i++ {
		octet := [1]byte{segment[i]}
		if segment[i] == '%' {
			digits := segment[i+1 : min(i+3, len(segment))]
			if n, err := hex.Decode(octet[:], []byte(digits)); n != 1 || err != nil {
				return false
			}
			i += 2
		}
		c := octet[0]
		if len(decoded) == cap(decoded) || c < ' ' || c == 0x7f || strings.IndexByte(`/\%?#;`, c) >= 0 {
			return false
		}
		decoded = append(decoded, c)
	}
	// Windows removes dots and spaces at the end.
	return len(bytes.TrimRight(decoded, ". ")) > 0 && utf8.Valid(decoded)
}
