package access

import (
	"slices"
	"strings"
)

// maxInterpretations is far more than the paths of real programs have. Each is matched against the rules.
const maxInterpretations = 32

// interpretations returns the paths that a chain of servers may take a path for. Each server may decode it once more, up to decodings
// times in total, and cut it at a delimiter that was data before. All of them have been decoded at least once. It reports
// false if there are more than maxInterpretations, or if the path could be decoded further.
func interpretations(path string) (all []string, ok bool) {
	layer := truncations(path)
	for range maxDecodings {
		var next []string
		for _, text := range layer {
			next = union(next, truncations(decode(text)))
			// Some servers split a path at its slashes before they decode the segments: to them an encoded slash is data.
			all = union(all, truncations(decode(encodedSlashes.Replace(text))))
			if len(all)+len(next) > 2*maxInterpretations {
				return nil, false
			}
		}
		all = union(all, next)
		if slices.Equal(next, layer) {
			break
		}
		layer = next
	}
	isEncoded := func(text string) bool { return decode(text) != text }
	return all, len(all) <= maxInterpretations && !slices.ContainsFunc(layer, isEncoded)
}

// encodedSlashes encodes encoded slashes once more, so that decode keeps them encoded.
var encodedSlashes = strings.NewReplacer("%2f", "%252f", "%2F", "%252F")

// truncationMarks are the bytes that truncations looks for.
const truncationMarks = "?#; ."

// truncations returns a path, the parts of it before the first delimiter of each kind (of the query, the fragment, and the
// parameters of RFC 1808 section 2.1), and all of these with their segments trimmed.
func truncations(path string) []string {
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
		all = union(all, []string{trimSegmentEnds(part)})
	}
	return all
}

// trimSegmentEnds removes the parameters of each segment of a path, as Java's servers do, and the dots and spaces at its end,
// as Windows does. The result may be an empty segment.
func trimSegmentEnds(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segment, _, _ = strings.Cut(segment, ";")
		segments[i] = strings.TrimRight(segment, ". ")
	}
	return strings.Join(segments, "/")
}

// union appends to a set those elements of more that it lacks.
func union(set, more []string) []string {
	for _, one := range more {
		if !slices.Contains(set, one) {
			set = append(set, one)
		}
	}
	return set
}
