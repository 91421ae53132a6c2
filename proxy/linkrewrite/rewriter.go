package linkrewrite

import (
	"encoding/json"
	"strings"
)

// Rewriter replaces a Base with the URL that the client used. It is safe for concurrent use. Create it with Base.To.
type Rewriter struct {
	base *Base
	to   string
}

// JSON rewrites the links in a complete JSON body and reports whether it rewrote any. If not, it returns body itself,
// without allocating. It does not modify body.
func (r Rewriter) JSON(body []byte) (rewritten []byte, changed bool) {
	s := scanner{base: r.base}
	to := replacement{url: r.to}
	for done := 0; ; {
		begin, end, slashed := s.next(body, done, true)
		if begin == end {
			if done == 0 {
				return body, false
			}
			return append(rewritten, body[done:]...), true
		}
		if done == 0 {
			rewritten = make([]byte, 0, len(body)+len(body)/8+len(r.to))
		}
		rewritten = append(rewritten, body[done:begin]...)
		rewritten = append(rewritten, to.text(slashed)...)
		done = end
	}
}

// URL rewrites the value of a field that is a URL, such as Location, and reports whether it did.
func (r Rewriter) URL(value string) (string, bool) {
	for _, variant := range r.base.variants {
		n := len(variant)
		if len(value) >= n && strings.EqualFold(value[:n], variant) && (len(value) == n || isDelimiter(value[n])) {
			return r.to + value[n:], true
		}
	}
	return value, false
}

// LinkField rewrites the target of each link in a Link field (RFC 8288): the text in angle brackets outside quoted
// parameters. It reports whether it rewrote any.
func (r Rewriter) LinkField(value string) (string, bool) {
	var out strings.Builder
	copied := 0 // value[:copied] is in out
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			for i++; i < len(value) && value[i] != '"'; i++ {
				if value[i] == '\\' {
					i++
				}
			}
		case '<':
			length := strings.IndexByte(value[i+1:], '>')
			if length < 0 {
				i = len(value)
				break
			}
			end := i + 1 + length
			if url, ok := r.URL(value[i+1 : end]); ok {
				out.WriteString(value[copied : i+1])
				out.WriteString(url)
				copied = end
			}
			i = end
		}
	}
	if copied == 0 {
		return value, false
	}
	out.WriteString(value[copied:])
	return out.String(), true
}

// replacement is the URL that replaces the base, as the content of a JSON string.
type replacement struct {
	url            string
	plain, slashed string // made when first needed; slashed has each slash as \/
}

func (r *replacement) text(slashed bool) string {
	if r.plain == "" {
		r.plain = escape(r.url)
	}
	if !slashed {
		return r.plain
	}
	if r.slashed == "" {
		r.slashed = strings.ReplaceAll(r.plain, "/", `\/`)
	}
	return r.slashed
}

// escape returns a URL as the content of a JSON string. It needs no escapes, but it may contain the Host header that the
// client sent: a quote in it must not end the string.
func escape(url string) string {
	if !strings.ContainsFunc(url, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' }) {
		return url
	}
	quoted, _ := json.Marshal(url) // of a string, it cannot fail
	return string(quoted[1 : len(quoted)-1])
}
