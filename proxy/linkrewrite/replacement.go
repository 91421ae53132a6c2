package linkrewrite

import "strings"

// replacement is the new base as JSON string content, plain and with each slash written as \/.
type replacement struct{ plain, slashed string }

func newReplacement(to string) replacement { return replacement{plain: escape(to)} }

func (r *replacement) text(slashed bool) string {
	if !slashed {
		return r.plain
	}
	if r.slashed == "" { // rarely needed
		r.slashed = strings.ReplaceAll(r.plain, "/", `\/`)
	}
	return r.slashed
}

// escape returns text as the content of a JSON string. A URL needs no escapes, but it may contain the Host header that
// the client sent: a quote in it must not end the string.
func escape(text string) string {
	if !strings.ContainsFunc(text, needsEscape) {
		return text
	}
	const hex = "0123456789abcdef"
	var out strings.Builder
	out.Grow(len(text))
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c < 0x20:
			out.WriteString(`\u00`)
			out.WriteByte(hex[c>>4])
			out.WriteByte(hex[c&15])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func needsEscape(r rune) bool { return r == '"' || r == '\\' || r < ' ' }
