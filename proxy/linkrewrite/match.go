package linkrewrite

type matchResult int

const (
	noMatch matchResult = iota
	matched
	needMore // the text ends too early to decide
)

// maxMatchLen returns how many bytes may be needed to decide whether a string is a link: each character of the base and
// the next one as six-byte escapes.
func maxMatchLen(from string) int { return 6 * (len(from) + 1) }

// matchBase reports whether a string is a link with the base from. text starts after the opening quote. length is the
// number of bytes of the base, and slashed reports whether they contain a slash written as \/.
func matchBase(text []byte, from string) (length int, slashed bool, result matchResult) {
	if from == "" {
		return 0, false, noMatch
	}
	for i := range len(from) {
		n := matchedCharLen(text[length:], from[i])
		if n <= 0 {
			return 0, false, resultOf(n)
		}
		slashed = slashed || n == 2
		length += n
	}
	return length, slashed, matchEnd(text[length:])
}

// matchEnd reports whether the base ends before text. A closing quote ends it, but \u0022 does not: that is a character
// of the URL.
func matchEnd(text []byte) matchResult {
	if len(text) > 0 && text[0] == '"' {
		return matched
	}
	result := noMatch
	for i := range len(urlDelimiters) {
		switch resultOf(matchedCharLen(text, urlDelimiters[i])) {
		case matched:
			return matched
		case needMore:
			result = needMore
		case noMatch:
		}
	}
	return result
}

// matchedCharLen returns the number of bytes at the start of text that represent the character c in a JSON string: 1 for c
// itself, 2 for \/, 6 for escapes such as \u002f. It returns 0 if they represent another one, and -1 if text ends too
// early to decide.
//
// c is a byte. Bytes of non-ASCII characters match literally only, never as escapes.
func matchedCharLen(text []byte, c byte) int {
	if len(text) == 0 {
		return -1
	}
	if text[0] != '\\' {
		if text[0] == c {
			return 1
		}
		return 0
	}
	if c == '/' && len(text) > 1 && text[1] == '/' {
		return 2
	}
	if c >= 0x80 {
		return 0
	}
	const hex = "0123456789abcdef"
	escape := [6]byte{'\\', 'u', '0', '0', hex[c>>4], hex[c&15]}
	for i, want := range escape {
		if i == len(text) {
			return -1
		}
		digit := text[i]
		if 'A' <= digit && digit <= 'F' {
			digit += 'a' - 'A'
		}
		if digit != want {
			return 0
		}
	}
	return len(escape)
}

func resultOf(n int) matchResult {
	switch {
	case n < 0:
		return needMore
	case n == 0:
		return noMatch
	default:
		return matched
	}
}
