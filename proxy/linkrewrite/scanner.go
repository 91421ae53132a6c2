package linkrewrite

import "bytes"

const (
	// maxBefore is how many bytes before a string are examined. Behind more white space, its end decides.
	maxBefore = 64
	// maxAhead is how many bytes of a string, and of what follows it, are examined. A longer string is not a key.
	maxAhead = 4 << 10
)

// scanner finds the links in a text. The zero escape is right for each new text.
type scanner struct {
	base   *Base
	escape int // index of the first \u00 behind the last position, if it is not before that
}

// next finds the first link in text[start:]: its base is text[begin:end], and slashed reports whether that contains a
// slash written as \/. If it finds none, end is begin, and text[begin:], which may be empty, is undecided: it must be
// scanned again, with more text or with last. Up to maxBefore bytes before start are examined too.
func (s *scanner) next(text []byte, start int, last bool) (begin, end int, slashed bool) {
	for i := start; ; {
		i = s.candidate(text, i+1)
		first := max(0, start-1, i-s.base.maxLen)
		if quote := bytes.LastIndexByte(text[first:i], '"'); quote >= 0 {
			begin := first + quote + 1
			switch length, slashed, result := s.matchLink(text, begin, last); result {
			case matched:
				return begin, begin + length, slashed
			case needMore:
				return begin, begin, false
			case noMatch:
			}
		}
		if i == len(text) {
			return i, i, false
		}
	}
}

// candidate returns the index of the first byte in text[i:] that may be the slash before the host or a byte of the host:
// that slash, if all is written as usual, else an escape of a character between space and DEL. It returns len(text) if
// there is none.
func (s *scanner) candidate(text []byte, i int) int {
	host := s.base.host
	for ; i < len(text); i++ {
		if s.escape < i {
			s.escape = len(text)
			if found := bytes.Index(text[i:], []byte(`\u00`)); found >= 0 {
				s.escape = i + found
			}
		}
		if found := bytes.IndexByte(text[i:s.escape], '/'); found >= 0 {
			i += found
			if n := len(host); i+n <= len(text) && text[i+1]|0x20 == host[1]|0x20 && bytes.EqualFold(text[i:i+n], host) {
				return i
			}
		} else if i = s.escape; i+4 < len(text) && '2' <= text[i+4] && text[i+4] <= '7' {
			return i
		}
	}
	return len(text)
}

// matchLink reports whether the string whose content begins at begin is a link, and where its base ends.
func (s *scanner) matchLink(text []byte, begin int, last bool) (length int, slashed bool, result matchResult) {
	before := lastVisible(text[max(0, begin-maxBefore) : begin-1])
	if before == '{' || before == '\\' {
		return 0, false, noMatch // a key; an escaped quote
	}
	if len(text) >= begin+maxAhead {
		text, last = text[:begin+maxAhead], true
	}
	length, slashed, result = s.base.matchBase(text[begin:])
	if result == needMore && last {
		return 0, false, noMatch
	}
	if result == matched && before != ':' && before != '[' {
		switch behind := visibleBehindString(text[begin+length:]); {
		case behind == ':':
			return 0, false, noMatch
		case behind == 0 && !last:
			return 0, false, needMore
		}
	}
	return length, slashed, result
}

// lastVisible returns the last byte that is not white space, or 0.
func lastVisible(text []byte) byte {
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] > ' ' {
			return text[i]
		}
	}
	return 0
}

// visibleBehindString returns the first byte behind a string that is not white space, or 0. The text begins in the string.
func visibleBehindString(text []byte) byte {
	inside := true
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
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
