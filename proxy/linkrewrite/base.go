package linkrewrite

import "strings"

// urlDelimiters are the characters that may follow the base in a longer URL. Any other one changes the host:
// api.example.com.evil.example, api.example.com:443, api.example.com@evil.example.
const urlDelimiters = "/?#"

// ReplaceBase replaces the base URL from by to if text is from, or starts with from followed by "/", "?" or "#", and
// reports whether it did. Neither from nor to may end with a slash. If from is empty, nothing is replaced.
func ReplaceBase(text, from, to string) (string, bool) {
	rest, ok := strings.CutPrefix(text, from)
	if !ok || from == "" || rest != "" && strings.IndexByte(urlDelimiters, rest[0]) < 0 {
		return text, false
	}
	return to + rest, true
}
