// Package linkrewrite replaces the API's origin in its responses, so that a client that follows a link stays with the gateway.
//
// A link is a JSON string value, not an object key, that is this origin or starts with it followed by "/", "?" or "#". Only the
// origin is replaced. All other bytes stay the same: the format of numbers, the order of objects, and text that mentions the URL.
//
// The origin is compared with the string's value, not with its representation: PHP writes https:\/\/, and \u002f is a slash too.
// Scheme and host match in any case (RFC 3986 section 6.2.2.1), with or without the default port (6.2.3). The scheme may be
// https, http or missing: behind a load balancer, an API often does not know its own.
//
// JSON is not parsed. The search looks for two bytes of the host, and then at the bytes around them, which suffices: in JSON, an
// unescaped quote that a URL follows opens a string, and a key is behind "{", or behind "," and before ":". In input that is not
// JSON, it is unspecified which strings are rewritten, but nothing else changes. How the input is split into reads makes no
// difference.
package linkrewrite

import "strings"

// Rewriter replaces an Origin with the URL that the client used. It is safe for concurrent use. Create it with Origin.To.
type Rewriter struct {
	from *Origin
	to   string
}

// JSON rewrites the links in a complete JSON body and reports whether it rewrote any. If not, it returns body itself,
// without allocating. It does not modify body.
func (r Rewriter) JSON(body []byte) (rewritten []byte, changed bool) {
	s := linkScanner{Rewriter: r}
	done := 0
	for begin, end := s.next(body, 0, true); begin < end; begin, end = s.next(body, done, true) {
		if rewritten == nil {
			rewritten = make([]byte, 0, len(body)+len(body)/8+len(r.to))
		}
		rewritten = append(append(rewritten, body[done:begin]...), s.replacement(body[begin:end])...)
		done = end
	}
	if rewritten == nil {
		return body, false
	}
	return append(rewritten, body[done:]...), true
}

// URL rewrites the value of a field that is a URL, such as Location, and reports whether it did.
func (r Rewriter) URL(value string) (string, bool) {
	for _, variant := range r.from.variants {
		n := len(variant)
		if len(value) >= n && strings.EqualFold(value[:n], variant) && (len(value) == n || value[n] != '"' && mayFollowOrigin(value[n])) {
			return r.to + value[n:], true
		}
	}
	return value, false
}

// LinkField rewrites the target of each link in a Link field (RFC 8288): the text in angle brackets outside quoted
// parameters. It reports whether it rewrote any.
func (r Rewriter) LinkField(value string) (string, bool) {
	var out strings.Builder
	copied, quoted := 0, false // value[:copied] is in out
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '<' && !quoted:
			begin := i + 1
			i = begin + max(0, strings.IndexByte(value[begin:], '>'))
			if url, ok := r.URL(value[begin:i]); ok {
				out.WriteString(value[copied:begin])
				out.WriteString(url)
				copied = i
			}
		}
	}
	if copied == 0 {
		return value, false
	}
	out.WriteString(value[copied:])
	return out.String(), true
}
