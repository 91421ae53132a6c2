package links

import "strings"

// replacement is the base that links get, as it is spelled inside a JSON string.
type replacement struct{ plain, slashed string }

func newReplacement(to string) replacement {
	plain := escape(to)
	return replacement{plain: plain, slashed: strings.ReplaceAll(plain, "/", `\/`)}
}

func (r *replacement) spelled(slashed bool) string {
	if slashed {
		return r.slashed
	}
	return r.plain
}

// escape spells text inside a JSON string. A URL needs no escapes, but it may hold what the app sent as its Host: no
// quote in it may end the string.
func escape(text string) string {
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
