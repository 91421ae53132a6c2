package operations

import (
	"strings"
	"unicode/utf8"
)

const (
	// These limits are far beyond what the API has: keys of 60 bytes, with seven segments.
	maxKey      = 256
	maxMethod   = 16
	maxSegments = 16
	// maxWordLength is the longest word: questionnaire-links has 19 letters.
	maxWordLength = 32
	// id replaces a segment that is no word.
	id = "{id}"
)

// Normalize returns the operation of a request as METHOD and path. The path is percent-encoded and has no query; the account in
// front of it, /@NAME, is removed. Of its segments, only words remain, as the API's paths have them: lower-case letters, with
// single hyphens between them, or a version such as v2. Anything else becomes {id}, since it may be personal data: eTrusted's ids
// (rev-UUID), UUIDs, numbers, e-mail addresses, names, article numbers.
//
// It returns false for a request that no pattern with {id} describes: with a doubled slash, an encoded slash, a semicolon and the
// like, with an unusual method, or too long; and if the first segment is no word, since GET /{id} would allow too much.
func Normalize(method, path string) (operation string, ok bool) {
	var buffer [maxKey]byte
	key, ok := appendKey(buffer[:0], method, path)
	return string(key), ok
}

// appendKey appends the operation, if there is one, to an empty slice, within its capacity.
func appendKey(key []byte, method, path string) ([]byte, bool) {
	path, isPath := strings.CutPrefix(withoutAccount(path), "/")
	if !isPath || !isMethod(method) {
		return nil, false
	}
	key = append(append(key, method...), ' ')
	for i := range maxSegments {
		segment, rest, more := strings.Cut(path, "/")
		switch {
		case segment == "" && more: // some servers merge the slashes
			return nil, false
		case segment == "" || isWord(segment):
		case i > 0 && isOneSegment(segment):
			segment = id
		default:
			return nil, false
		}
		if len(key)+1+len(segment) > cap(key) {
			return nil, false
		}
		key = append(append(key, '/'), segment...)
		if !more {
			return key, true
		}
		path = rest
	}
	return nil, false
}

// withoutAccount removes /@NAME from the beginning of a path.
func withoutAccount(path string) string {
	name, hasAccount := strings.CutPrefix(path, "/@")
	if !hasAccount {
		return path
	}
	if end := strings.IndexByte(name, '/'); end >= 0 {
		return name[end:]
	}
	return "/"
}

// isMethod reports whether a method looks like the API's: upper-case letters.
func isMethod(method string) bool {
	if method == "" || len(method) > maxMethod {
		return false
	}
	for i := range len(method) {
		if method[i] < 'A' || method[i] > 'Z' {
			return false
		}
	}
	return true
}

// isWord reports whether a segment looks like a fixed part of an API's path: see Normalize.
func isWord(segment string) bool {
	if len(segment) > maxWordLength {
		return false
	}
	if number, isVersion := strings.CutPrefix(segment, "v"); isVersion && len(number) > 0 && len(number) <= 2 && isDigits(number) {
		return true
	}
	letter := false // before this character
	for i := range len(segment) {
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

func isDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// isOneSegment reports whether every server reads one segment in a percent-encoded one: see access.Rules. Without it, a pattern
// with {id} would not allow the request.
func isOneSegment(segment string) bool {
	var decoded [maxKey]byte
	n, end := 0, 0 // end is after the last byte that is neither a dot nor a space, which Windows removes at the end
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) {
				return false
			}
			high, isHex := unhex(segment[i+1])
			low, areHex := unhex(segment[i+2])
			if !isHex || !areHex {
				return false
			}
			c = high<<4 | low
			i += 2
		}
		if n == len(decoded) || c < ' ' || c == 0x7f || strings.IndexByte(`/\%?#;`, c) >= 0 {
			return false
		}
		decoded[n] = c
		n++
		if c != '.' && c != ' ' {
			end = n
		}
	}
	return end > 0 && utf8.Valid(decoded[:n])
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) (value byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}
