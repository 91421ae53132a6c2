package linkrewrite

type verdict int

const (
	no verdict = iota
	yes
	undecided // the text ends before it shows
)

// longest returns how many bytes may be needed to tell whether a string is a link: each character of the base, and the one
// behind it, in its longest spelling.
func longest(from string) int { return 6 * (len(from) + 1) }

// match tells whether a string is a link to the base from. text begins behind the string's opening quote. It returns how
// many bytes spell the base, and whether they spell a slash of it as \/.
func match(text []byte, from string) (length int, slashed bool, v verdict) {
	if from == "" {
		return 0, false, no
	}
	for i := range len(from) {
		n := spelling(text[length:], from[i])
		if n <= 0 {
			return 0, false, verdictOf(n)
		}
		slashed = slashed || n == 2
		length += n
	}
	return length, slashed, ends(text[length:])
}

// ends tells whether what follows the base lets it end there. The quote that ends the string is one that is not escaped:
// \u0022 is a character of the URL.
func ends(text []byte) verdict {
	if len(text) > 0 && text[0] == '"' {
		return yes
	}
	v := no
	for i := range len(followers) {
		switch verdictOf(spelling(text, followers[i])) {
		case yes:
			return yes
		case undecided:
			v = undecided
		case no:
		}
	}
	return v
}

// spelling returns how many bytes at the beginning of text spell the character c of a URL inside a JSON string: one for
// itself, two for \/, six for \u002f and the like. 0 says that they spell something else, and -1 that text ends before
// that shows.
//
// A character beyond ASCII is one byte of several here, so an escape is none of its spellings.
func spelling(text []byte, c byte) int {
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

func verdictOf(spelling int) verdict {
	switch {
	case spelling < 0:
		return undecided
	case spelling == 0:
		return no
	default:
		return yes
	}
}
