package linkrewrite

import (
	"cmp"
	"strings"
)

// IsJSON reports whether a media type is JSON: RFC 9110 section 8.3.1, RFC 8259, RFC 6839 section 3.1. With a space, a comma
// or a control character it is invalid, perhaps two types in one line.
func IsJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.Trim(kind, " \t")
	if strings.ContainsFunc(kind, func(c rune) bool { return c <= ' ' || c == ',' || c == 0x7f }) {
		return false
	}
	return strings.EqualFold(kind, "application/json") || strings.EqualFold(kind[max(0, len(kind)-len("+json")):], "+json")
}

// UpstreamAcceptEncoding returns the Accept-Encoding for a request to the API, so that links can be found: gzip if the app
// accepts it, else identity. It is empty if the app excludes identity (RFC 9110 section 12.5.3), and with it every rewritten
// response. Several Accept-Encoding fields of the app must be joined with ", ".
func UpstreamAcceptEncoding(clientAcceptEncoding string) string {
	const accepted, excluded = 1, 2
	var gzip, identity, rest int // 0 if not listed
	for element := range strings.SplitSeq(clientAcceptEncoding, ",") {
		name, weight, _ := strings.Cut(element, ";")
		listed := accepted
		q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(weight), " ", ""), "q=")
		if ok && strings.Trim(q, "0.") == "" {
			listed = excluded
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			gzip = listed
		case "identity":
			identity = listed
		case "*":
			rest = listed
		}
	}
	switch {
	case cmp.Or(identity, rest) == excluded:
		return ""
	case cmp.Or(gzip, rest) == accepted:
		return "gzip"
	default:
		return "identity"
	}
}
