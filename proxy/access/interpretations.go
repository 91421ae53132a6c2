package access

import (
	"slices"
	"strings"
)

// maxReadings is far more than the paths of real programs have. Each reading is matched against the rules.
const maxReadings = 32

// readings returns the paths that a chain of servers may read in a path. Each server may decode it once more, up to decodings
// times in total, and cut it at a delimiter that was data before. All readings have been decoded at least once. It reports
// false if there are more than maxReadings, or if the path could be decoded further.
func readings(path string) (all []string, ok bool) {
	layer := cuts(path)
	for range maxDecodings {
		var next []string
		for _, text := range layer {
			next = union(next, cuts(decode(text)))
			// Some servers split a path at its slashes before they decode the segments: to them an encoded slash is data.
			all = union(all, cuts(decode(encodedSlashes.Replace(text))))
			if len(all)+len(next) > 2*maxReadings {
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
	return all, len(all) <= maxReadings && !slices.ContainsFunc(layer, isEncoded)
}

// encodedSlashes encodes encoded slashes once more, so that decode keeps them encoded.
var encodedSlashes = strings.NewReplacer("%2f", "%252f", "%2F", "%252F")

// cutMarks are the bytes that cuts looks for.
const cutMarks = "?#; ."

// cuts returns a path, the parts of it before the first delimiter of each kind (of the query, the fragment, and the
// parameters of RFC 1808 section 2.1), and all of these with their segments trimmed.
func cuts(path string) []string {
	all := []string{path}
	if !strings.ContainsAny(path, cutMarks) {
		return all
	}
	for _, delimiter := range []string{"?", "#", ";"} {
		if before, _, found := strings.Cut(path, delimiter); found {
			all = append(all, before)
		}
	}
	for _, part := range all {
		all = union(all, []string{trimSegments(part)})
	}
	return all
}

// trimSegments removes the parameters of each segment of a path, as Java's servers do, and the dots and spaces at its end,
// as Windows does. The result may be an empty segment.
func trimSegments(path string) string {
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
