package linkrewrite

import "strings"

// LinkHeader does what URL does to the target of every link in the value of a Link header, RFC 8288: what stands in angle
// brackets, outside of quoted parameters. It reports whether anything was replaced.
func ReplaceInLinkHeader(value, from, to string) (string, bool) {
	var out strings.Builder
	copied := 0 // value[:copied] is in out
	for i := 0; i < len(value); {
		switch value[i] {
		case '"':
			i = afterQuoted(value, i+1)
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

// afterQuoted returns the index behind the end of a quoted string whose first character is at i.
func afterQuoted(value string, i int) int {
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
