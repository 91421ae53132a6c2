package linkrewrite

import "strings"

// followers are the characters that end the base in a longer URL. Any other one belongs to the base's last part, and
// makes it another one: api.example.com.evil.example, api.example.com:443, api.example.com@evil.example.
const followers = "/?#"

// URL replaces the base URL from in a URL that is it, or begins with it followed by "/", "?" or "#", by to. It reports
// whether text is such a URL; if not, it is returned as it is. from and to have no final slash; an empty from is no base
// of any.
func ReplaceBase(text, from, to string) (string, bool) {
	rest, ok := strings.CutPrefix(text, from)
	if !ok || from == "" || rest != "" && strings.IndexByte(followers, rest[0]) < 0 {
		return text, false
	}
	return to + rest, true
}
