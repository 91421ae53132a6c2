package access

import (
	"net/http"
	"strings"
)

// decodings is how often a path is decoded to see what becomes of it: once is what RFC 3986 section 2.4 asks for, and
// servers that sit behind one another have been seen to do it once more each.
const decodings = 3

// CheckTarget returns why a target, as the app sent it, may not go on, or nil if it may: a path that two programs would
// read differently, which is how a request gets past what a policy allows. What may go on is not changed. It does not
// look at the query, in which all of this is data.
//
// Refused are dot segments (RFC 3986 section 3.3), plain, percent-encoded, with a parameter (..;), or before spaces (..%20)
// or what was an encoded ? or # (..%3f), backslashes, which some servers take for slashes, NUL and other control characters.
// An encoded slash is none of these.
func CheckTarget(target string) *Refusal {
	path, _, _ := strings.Cut(target, "?")
	for range decodings + 1 {
		if strings.IndexByte(path, '\\') >= 0 || strings.ContainsFunc(path, isControl) || hasDotSegment(path) {
			return pathRefused
		}
		decoded := decode(path)
		if decoded == path {
			break
		}
		path = decoded
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func hasDotSegment(path string) bool {
	if !strings.Contains(path, "/.") { // most paths
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		// What follows a semicolon is a parameter of the segment, and some servers take it off before they look. Behind a ? or
		// # that was encoded, a server that is sent the decoded path sees a query or a fragment.
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

// decode replaces what is percent-encoded. It leaves what is not well formed as it is, where url.PathUnescape would
// give up and leave the rest unseen.
func decode(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			high, ok1 := hexDigit(text[i+1])
			low, ok2 := hexDigit(text[i+2])
			if ok1 && ok2 {
				b.WriteByte(high<<4 | low)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	default:
		return 0, false
	}
}

var pathRefused = &Refusal{
	Reason: ReasonPath,
	Status: http.StatusBadRequest,
	What:   "the path has a dot segment, a backslash or a control character",
	Advice: "Send the path that you mean: without . and .. segments, \\ and control characters, percent-encoded or not. In a query they may stand.",
}
