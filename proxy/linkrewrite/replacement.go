package linkrewrite

import "strings"

// replacement is the base that links get, as it is spelled inside a JSON string.
type replacement struct{ plain, slashed string }

func newReplacement(to string) replacement { return replacement{plain: escape(to)} }

func (r *replacement) spelled(slashed bool) string {
	if !slashed {
		return r.plain
	}
	if r.slashed == "" { // few write so
		r.slashed = strings.ReplaceAll(r.plain, "/", `\/`)
	}
	return r.slashed
}

// escape spells text inside a JSON string. A URL needs no escapes, but it may hold what the app sent as its Host: no
// quote in it may end the string.
func escape(text string) string {
	if !strings.ContainsFunc(text, isEscaped) {
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

func isEscaped(r rune) bool { return r == '"' || r == '\\' || r < ' ' }
