package linkrewrite

import "strings"

// ReplaceInLinkHeader applies ReplaceBase to the target of each link in a Link header (RFC 8288): the text in angle
// brackets outside quoted parameters. It reports whether it replaced any.
func ReplaceInLinkHeader(value, from, to string) (string, bool) {
	var out strings.Builder
	copied := 0 // value[:copied] is in out
	for i := 0; i < len(value); {
		switch value[i] {
		case '"':
			i = skipQuotedString(value, i+1)
		case '<':
			length := strings.IndexByte(value[i:], '>')
			if length < 0 {
				i = len(value)
				break
			}
			if url, ok := ReplaceBase(value[i+1:i+length], from, to); ok {
				out.WriteString(value[copied : i+1])
				out.WriteString(url)
				copied = i + length
			}
			i += length
		default:
			i++
		}
	}
	if copied == 0 {
		return value, false
	}
	out.WriteString(value[copied:])
	return out.String(), true
}

// skipQuotedString returns the index after the closing quote of a quoted string whose content starts at i.
func skipQuotedString(value string, i int) int {
	for ; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(value)
}
