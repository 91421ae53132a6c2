package linkrewrite

import "strings"

// Base is the API's base URL, prepared for the search. It is safe for concurrent use.
type Base struct {
	variants []string // the URLs with this meaning, in lower case
	usual    []string // the JSON of the first one: plain, and with each slash as \/
	host     []byte   // in lower case, with a slash before it
	maxLen   int      // how many bytes a variant and the next character have at most, each as a six-byte escape
}

// NewBase returns the Base for a URL that consists of scheme, host and perhaps a port, such as https://api.etrusted.com.
// The host must not be empty.
func NewBase(url string) *Base {
	scheme, host, _ := strings.Cut(strings.ToLower(url), "://")
	defaultPorts := map[string]string{"https": ":443", "http": ":80"}
	host = strings.TrimSuffix(host, defaultPorts[scheme])
	variants := []string{scheme + "://" + host, "https://" + host, "http://" + host, "//" + host}
	if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') { // no other port
		variants = append(variants, "https://"+host+":443", "http://"+host+":80", "//"+host+defaultPorts[scheme])
	}
	return &Base{
		variants: variants,
		usual:    []string{variants[0], strings.ReplaceAll(variants[0], "/", `\/`)},
		host:     []byte("/" + host),
		maxLen:   6 * (len("https://:443") + len(host) + 1),
	}
}

// To returns a Rewriter that replaces the base with the URL that the client used, such as http://localhost:8080/@NAME. The
// URL must not end with a slash.
func (b *Base) To(url string) Rewriter { return Rewriter{base: b, to: url} }

// matchResult is whether text begins with something.
type matchResult int

const (
	noMatch matchResult = iota
	matched
	needMore // the text ends too early to decide
)

// matchBase reports whether text, the content of a JSON string and what follows it, is a URL with a variant of the base.
// length is the number of bytes of the base, and slashed reports whether they contain a slash written as \/.
func (b *Base) matchBase(text []byte) (length int, slashed bool, result matchResult) {
	for i, usual := range b.usual {
		if len(text) > len(usual) && string(text[:len(usual)]) == usual && endsAt(text[len(usual):]) == matched {
			return len(usual), i > 0, matched
		}
	}
	for _, variant := range b.variants {
		length, slashed, match := matchVariant(text, variant)
		if match == matched {
			return length, slashed, matched
		}
		result = max(result, match)
	}
	return 0, false, result
}

func matchVariant(text []byte, variant string) (length int, slashed bool, result matchResult) {
	for i := range len(variant) {
		c, n := firstChar(text[length:])
		switch {
		case n == 0:
			return 0, false, needMore
		case c != variant[i]:
			return 0, false, noMatch
		}
		slashed = slashed || n == len(`\/`)
		length += n
	}
	return length, slashed, endsAt(text[length:])
}

// endsAt reports whether text may follow the base.
func endsAt(text []byte) matchResult {
	switch c, n := firstChar(text); {
	case n == 0:
		return needMore
	case c == '"' || isDelimiter(c):
		return matched
	default:
		return noMatch
	}
}

// isDelimiter reports whether c may follow the base in a longer URL. Any other character changes the host:
// api.example.com.evil.example, api.example.com:8443, api.example.com@evil.example.
func isDelimiter(c byte) bool { return c == '/' || c == '?' || c == '#' }

// firstChar returns the first character of a JSON string's content in lower case, and the number of its bytes: 1 for the
// character itself, 2 for \/, 6 for escapes such as \u002f; 0 if text ends too early. An escape that is not needed in a
// URL counts as NUL: \u0022 is no closing quote.
func firstChar(text []byte) (c byte, n int) {
	if len(text) == 0 {
		return 0, 0
	}
	if text[0] != '\\' {
		return lower(text[0]), 1
	}
	const prefix = `\u00`
	switch {
	case len(text) > 1 && text[1] == '/':
		return '/', 2
	case string(text[:min(len(text), len(prefix))]) != prefix[:min(len(text), len(prefix))]:
		return 0, 1
	case len(text) < len(`\u002f`):
		return 0, 0
	}
	if c = hexDigit(text[4])<<4 | hexDigit(text[5]); c == '"' || c >= 0x80 {
		c = 0
	}
	return lower(c), len(`\u002f`)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// hexDigit returns the value of a digit, or 0xff, which yields no ASCII character.
func hexDigit(c byte) byte {
	switch c = lower(c); {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}
