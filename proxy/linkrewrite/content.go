package linkrewrite

import (
	"slices"
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

// IsDigestField reports whether a field is a digest of the body, which is wrong once links are rewritten: RFC 9530 and its
// predecessors. The name may be in any case.
func IsDigestField(name string) bool {
	digests := [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-MD5"}
	return slices.ContainsFunc(digests[:], func(digest string) bool { return strings.EqualFold(name, digest) })
}

// NegotiateEncoding returns the content coding to request from the API, so that links can be found: gzip if the app accepts
// it, else identity. It returns false if the app excludes identity (RFC 9110 section 12.5.3), and with it every rewritten
// response. Several Accept-Encoding fields must be joined with ", ".
func NegotiateEncoding(acceptEncoding string) (coding string, ok bool) {
	const accepted, excluded = 1, 2
	var gzip, identity, rest int // 0 if not listed
	for element := range strings.SplitSeq(acceptEncoding, ",") {
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
	if identity == excluded || identity == 0 && rest == excluded {
		return "", false
	}
	if gzip == accepted || gzip == 0 && rest == accepted {
		return "gzip", true
	}
	return "identity", true
}
