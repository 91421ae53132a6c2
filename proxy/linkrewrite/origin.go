package linkrewrite

import (
	"bytes"
	"strconv"
	"strings"
)

// Origin is the scheme, host and port of the API's URL (RFC 6454), prepared for the search. It is safe for concurrent use.
type Origin struct {
	variants    []string // the URLs with this meaning, in lower case
	commonForms [][]byte // the JSON of the first one: plain, and with each slash as \/
	host        []byte   // in lower case, with a slash before it
	maxLen      int      // how many bytes a variant and the next character have at most, each as a six-byte escape
}

// NewOrigin returns the Origin for a URL that consists of a scheme, a host (not empty) and, optionally, a port, such as
// https://api.etrusted.com.
func NewOrigin(apiURL string) *Origin {
	scheme, host, _ := strings.Cut(strings.ToLower(apiURL), "://")
	defaultPorts := map[string]string{"https": ":443", "http": ":80"}
	host = strings.TrimSuffix(host, defaultPorts[scheme])
	variants := []string{scheme + "://" + host, "https://" + host, "http://" + host, "//" + host}
	if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') { // no other port
		variants = append(variants, "https://"+host+":443", "http://"+host+":80", "//"+host+defaultPorts[scheme])
	}
	return &Origin{
		variants:    variants,
		commonForms: [][]byte{[]byte(variants[0]), []byte(strings.ReplaceAll(variants[0], "/", `\/`))},
		host:        []byte("/" + host),
		maxLen:      6 * (len("https://:443") + len(host) + 1),
	}
}

// To returns a Rewriter that replaces the origin with the URL that the client used, without a final slash, such as
// http://localhost:8080/@NAME.
func (o *Origin) To(url string) Rewriter { return Rewriter{from: o, to: url} }

// matchLength returns how many bytes at the beginning of a JSON string's content are the origin: 0 if it is no link, -1 if text
// ends too early to decide.
func (o *Origin) matchLength(text []byte) (length int) {
	for _, usual := range o.commonForms {
		if bytes.HasPrefix(text, usual) {
			if c, _ := decodeJSONCharLower(text[len(usual):]); mayFollowOrigin(c) {
				return len(usual)
			}
		}
	}
	for _, variant := range o.variants {
		n := matchURLAtStart(text, variant)
		if n > 0 {
			return n
		}
		length = min(length, n)
	}
	return length
}

// matchURLAtStart is matchLength for one URL.
func matchURLAtStart(text []byte, lowerURL string) (lengthOrMinus1 int) {
	length := 0
	for i := 0; ; i++ {
		c, n := decodeJSONCharLower(text[length:])
		switch {
		case n == 0:
			return -1
		case i == len(lowerURL) && mayFollowOrigin(c):
			return length
		case i == len(lowerURL) || c != lowerURL[i]:
			return 0
		}
		length += n
	}
}

// mayFollowOrigin reports whether c may follow the origin: a closing quote, or a delimiter. Any other character changes the host:
// api.example.com.evil.example, api.example.com:8443, api.example.com@evil.example.
func mayFollowOrigin(c byte) bool { return c == '"' || c == '/' || c == '?' || c == '#' }

// decodeJSONCharLower returns the first character of a JSON string's content in lower case, and the number of its bytes: 1 for the
// character itself, 2 for \/, 6 for escapes such as \u002f; 0 if text ends too early. An escape that a URL cannot contain
// counts as NUL: \u0022 is no closing quote.
func decodeJSONCharLower(text []byte) (c byte, n int) {
	switch {
	case len(text) == 0:
		return 0, 0
	case text[0] != '\\':
		c, n = text[0], 1
	case len(text) > 1 && text[1] == '/':
		return '/', 2
	case !strings.HasPrefix(`\u00`, string(text[:min(4, len(text))])):
		return 0, 1
	case len(text) < 6:
		return 0, 0
	default:
		code, err := strconv.ParseUint(string(text[2:6]), 16, 7)
		if err != nil || code == '"' {
			return 0, 1
		}
		c, n = byte(code), 6
	}
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c, n
}
