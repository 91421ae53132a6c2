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
	s := scanner{Rewriter: r}
	begin, end := s.next(body, 0, true)
	if begin == end {
		return body, false
	}
	rewritten = make([]byte, 0, len(body)+len(body)/8+len(r.to))
	done := 0
	for begin < end {
		rewritten = append(rewritten, body[done:begin]...)
		rewritten = append(rewritten, s.replacement(body[begin:end])...)
		done = end
		begin, end = s.next(body, done, true)
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
