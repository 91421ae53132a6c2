package linkrewrite

import "strings"

// IsJSON reports whether a media type is JSON: RFC 9110 section 8.3.1, RFC 8259, RFC 6839 section 3.1. With a space, a comma
// or a control character it is invalid, perhaps two types in one line.
func IsJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.Trim(kind, " \t")
	if strings.ContainsFunc(kind, func(c rune) bool { return c <= ' ' || c == ',' || c == 0x7f }) {
		return false
	}
	const suffix = "+json"
	return strings.EqualFold(kind, "application/json") ||
		len(kind) >= len(suffix) && strings.EqualFold(kind[len(kind)-len(suffix):], suffix)
}

// IsDigest reports whether a field is a digest of the body, which is wrong once links are rewritten: RFC 9530 and its
// predecessors. The name may be in any case.
func IsDigest(name string) bool {
	for _, digest := range [...]string{"content-digest", "repr-digest", "digest", "content-md5"} {
		if strings.EqualFold(name, digest) {
			return true
		}
	}
	return false
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
		if isZero(weight) {
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

// isZero reports whether a weight excludes a coding.
func isZero(weight string) bool {
	q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(weight), " ", ""), "q=")
	return ok && strings.Trim(q, "0.") == ""
}
