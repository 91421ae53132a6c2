package access

import (
	"strconv"
	"strings"
)

// maxDecodings is how often a path is decoded for the checks. RFC 3986 section 2.4 asks for once, but each server in a chain
// has been seen to do it once more.
const maxDecodings = 3

// isUnsafe reports whether two programs could read the path of a target differently, which is how a request gets past a
// policy. It ignores the query, where all of this is data.
//
// Unsafe are dot segments (RFC 3986 section 3.3), plain, percent-encoded, with a parameter (..;), or before spaces (..%20) or
// an encoded ? or # (..%3f); backslashes, which some servers take for slashes; NUL and other control characters. An encoded
// slash is safe.
func isUnsafe(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	isControl := func(r rune) bool { return r < ' ' || r == 0x7f }
	for range maxDecodings + 1 {
		if strings.IndexByte(path, '\\') >= 0 || strings.ContainsFunc(path, isControl) || hasDotSegment(path) {
			return true
		}
		decoded := decode(path)
		if decoded == path {
			break
		}
		path = decoded
	}
	return false
}

func hasDotSegment(path string) bool {
	if !strings.Contains(path, "/.") { // most paths
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Some servers remove a segment's parameters, which follow a semicolon. After a decoded ? or #, the next server sees a
		// query or a fragment.
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		segment = strings.TrimRight(segment, " ") // as some servers on Windows do
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// decode replaces percent-encoded bytes. Unlike url.PathUnescape, which fails, it keeps invalid sequences unchanged, so that
// the rest is checked too.
func decode(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if octet, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(octet))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
