package access

import (
	"slices"
	"strconv"
	"strings"
)

// maxDecodings is how often a path is decoded for the checks. RFC 3986 section 2.4 asks for once, but each server in a chain
// has been seen to do it once more.
const maxDecodings = 3

// hasUnsafePath reports whether two programs could read the path of a target differently, which is how a request gets past a
// policy. It ignores the query, where all of this is data.
//
// Unsafe are dot segments (RFC 3986 section 3.3), plain, percent-encoded, with a parameter (..;), or before spaces (..%20) or
// an encoded ? or # (..%3f); backslashes, which some servers take for slashes; NUL and other control characters. An encoded
// slash is safe.
func hasUnsafePath(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	isControl := func(r rune) bool { return r < ' ' || r == 0x7f }
	for range maxDecodings + 1 {
		if strings.IndexByte(path, '\\') >= 0 || strings.ContainsFunc(path, isControl) || hasDotSegment(path) {
			return true
		}
		decoded := percentDecodeLeniently(path)
		if decoded == path {
			break
		}
		path = decoded
	}
	return false
}

func hasDotSegment(path string) bool {
	if !strings.Contains(path, "/.") { // most paths
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Some servers remove a segment's parameters, which follow a semicolon. After a decoded ? or #, the next server sees a
		// query or a fragment.
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		segment = strings.TrimRight(segment, " ") // as some servers on Windows do
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// percentDecodeLeniently replaces percent-encoded bytes. Unlike url.PathUnescape, which fails, it keeps invalid sequences
// unchanged, so that the rest is checked too.
func percentDecodeLeniently(text string) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if octet, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(octet))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// maxInterpretations is far more than the paths of real programs have. Each is matched against the allow list.
const maxInterpretations = 32

// interpretations returns the ways in which a chain of servers may read a path. Each server may decode it once more, up to
// maxDecodings times in total, and cut it at a delimiter that was data before. All of them have been decoded at least once. It
// reports false if there are more than maxInterpretations, or if the path could be decoded further.
func interpretations(path string) (decodedPaths []string, complete bool) {
	layer := pathAndTruncations(path)
	for range maxDecodings {
		var next []string
		for _, text := range layer {
			next = appendMissing(next, pathAndTruncations(percentDecodeLeniently(text)))
			// Some servers split a path at its slashes before they decode the segments: to them an encoded slash is data.
			decodedPaths = appendMissing(decodedPaths, pathAndTruncations(percentDecodeLeniently(encodedSlashEscaper.Replace(text))))
			if len(decodedPaths)+len(next) > 2*maxInterpretations {
				return nil, false
			}
		}
		decodedPaths = appendMissing(decodedPaths, next)
		if slices.Equal(next, layer) {
			break
		}
		layer = next
	}
	isEncoded := func(text string) bool { return percentDecodeLeniently(text) != text }
	return decodedPaths, len(decodedPaths) <= maxInterpretations && !slices.ContainsFunc(layer, isEncoded)
}

// encodedSlashEscaper encodes encoded slashes once more, so that percentDecodeLeniently keeps them encoded.
var encodedSlashEscaper = strings.NewReplacer("%2f", "%252f", "%2F", "%252F")

// truncationMarks are the bytes that pathAndTruncations looks for.
const truncationMarks = "?#; ."

// pathAndTruncations returns the path itself, the parts of it before the first delimiter of each kind (of the query, the fragment,
// and the parameters of RFC 1808 section 2.1), and all of these with their segments trimmed.
func pathAndTruncations(path string) []string {
	all := []string{path}
	if !strings.ContainsAny(path, truncationMarks) {
		return all
	}
	for _, delimiter := range []string{"?", "#", ";"} {
		if before, _, found := strings.Cut(path, delimiter); found {
			all = append(all, before)
		}
	}
	for _, part := range all {
		all = appendMissing(all, []string{trimSegmentParametersAndDots(part)})
	}
	return all
}

// trimSegmentParametersAndDots removes the parameters of each segment of a path, as Java's servers do, and the dots and spaces at
// its end, as Windows does. The result may be an empty segment.
func trimSegmentParametersAndDots(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segment, _, _ = strings.Cut(segment, ";")
		segments[i] = strings.TrimRight(segment, ". ")
	}
	return strings.Join(segments, "/")
}

// appendMissing appends to a set those elements of more that it lacks.
func appendMissing(set, more []string) []string {
	for _, one := range more {
		if !slices.Contains(set, one) {
			set = append(set, one)
		}
	}
	return set
}
