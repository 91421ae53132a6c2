package linkrewrite

import (
	"bytes"
	"encoding/json"
	"strings"
)

const (
	// maxLookbehind is how many bytes before a string are examined. Behind more white space, the bytes after it decide.
	maxLookbehind = 64
	// maxLookahead is how many bytes of a string, and of what follows it, are examined. A longer string is not a key.
	maxLookahead = 4 << 10
)

// linkScanner finds the links in a text, and their replacements.
type linkScanner struct {
	Rewriter
	escape         int    // index of the first \u00 after the last position, if greater than that; 0 for a new text
	plain, slashed string // the replacement of an origin in JSON, and with each slash as \/; made when first needed
}

// next finds the first link in text[start:]: its origin is text[begin:end]. If it finds none, end is begin, and text[begin:],
// which may be empty, is undecided: it must be scanned again, with more text or with last. Up to maxLookbehind bytes before start
// are examined too.
func (s *linkScanner) next(text []byte, start int, last bool) (begin, end int) {
	first := max(0, start-1) // no quote before it begins a link
	for i := start; ; first = i {
		i = s.nextCandidate(text, i+1)
		first = max(first, i-s.from.maxLen)
		if quote := bytes.LastIndexByte(text[first:i], '"'); quote >= 0 {
			begin := first + quote + 1
			if n := s.matchLink(text, begin, last); n != 0 {
				return begin, begin + max(0, n)
			}
		}
		if i == len(text) {
			return i, i
		}
	}
}

// nextCandidate returns the index of the first byte in text[i:] that may be in a link: the slash before the host, if both are
// written without escapes, or an escape of an ASCII character. It returns len(text) without one.
func (s *linkScanner) nextCandidate(text []byte, i int) int {
	host := s.from.host
	for ; i < len(text); i++ {
		if s.escape < i {
			s.escape = len(text)
			if found := bytes.Index(text[i:], []byte(`\u00`)); found >= 0 {
				s.escape = i + found
			}
		}
		if found := bytes.IndexByte(text[i:s.escape], '/'); found >= 0 {
			i += found
			rest := text[i:min(len(text), i+len(host))]
			if len(rest) > 1 && rest[1]|0x20 == host[1]|0x20 && (bytes.Equal(rest, host) || bytes.EqualFold(rest, host)) {
				return i
			}
		} else if i = s.escape; i+4 < len(text) && '2' <= text[i+4] && text[i+4] <= '7' {
			return i
		}
	}
	return len(text)
}

// matchLink is Origin.matchLength for the string whose content begins at begin, unless that is a key.
func (s *linkScanner) matchLink(text []byte, begin int, last bool) (length int) {
	var before byte
	for i := begin - 2; i >= max(0, begin-maxLookbehind) && before <= ' '; i-- {
		before = text[i]
	}
	if before == '{' || before == '\\' {
		return 0 // a key; an escaped quote
	}
	if len(text) >= begin+maxLookahead {
		text, last = text[:begin+maxLookahead], true
	}
	switch length = s.from.matchLength(text[begin:]); {
	case length < 0 && last:
		return 0
	case length <= 0 || before == ':' || before == '[':
		return length
	}
	switch after := firstNonSpaceAfterString(text[begin+length:]); {
	case after == ':':
		return 0
	case after == 0 && !last:
		return -1
	}
	return length
}

// firstNonSpaceAfterString returns the first byte after a string that is not white space, or 0. insideString begins in the string.
func firstNonSpaceAfterString(insideString []byte) byte {
	inside := true
	for i := 0; i < len(insideString); i++ {
		switch c := insideString[i]; {
		case inside && c == '\\':
			i++
		case inside:
			inside = c != '"'
		case c > ' ':
			return c
		}
	}
	return 0
}

// replacement returns what replaces an origin. A URL needs no escapes in JSON, but it may contain the Host header that the client
// sent: a quote in it must not end the string.
func (s *linkScanner) replacement(found []byte) string {
	if s.plain == "" {
		s.plain = s.to
		if strings.ContainsFunc(s.to, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' }) {
			quoted, _ := json.Marshal(s.to) // of a string, it cannot fail
			s.plain = string(quoted[1 : len(quoted)-1])
		}
	}
	if bytes.Equal(found, s.from.commonForms[0]) || !bytes.Contains(found, []byte(`\/`)) {
		return s.plain
	}
	if s.slashed == "" {
		s.slashed = strings.ReplaceAll(s.plain, "/", `\/`)
	}
	return s.slashed
}
