package access

import (
	"slices"
	"strings"
)

// maxReadings is far more than the readings of any path that a program makes. Each costs a look at the rules.
const maxReadings = 32

// readings returns the paths for which servers in a row may take a path. Each of them may decode it once more, up to
// decodings times in all, and cut it where a delimiter appears that was data before. All have been decoded at least once. It
// reports false if there are more than maxReadings, or if the path could be decoded further.
func readings(path string) (all []string, ok bool) {
	layer := cuts(path)
	for range decodings {
		var next []string
		for _, text := range layer {
			next = union(next, cuts(decode(text)))
			// Some split a path at its slashes before they decode the segments: to them an encoded slash is data.
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

// encodedSlashes encodes an encoded slash once more, so that decode leaves it encoded.
var encodedSlashes = strings.NewReplacer("%2f", "%252f", "%2F", "%252F")

// cutMarks are the bytes without which cuts finds nothing to cut.
const cutMarks = "?#; ."

// cuts returns a path, the part of it before the first of each delimiter (of the query, the fragment, and the parameters of
// RFC 1808 section 2.1), and each of these with its segments trimmed where that changes it.
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

// trimSegments takes the parameters off each segment of a path, as Java's servers do, and dots and spaces off its end, as
// Windows does. A segment that was nothing else is then empty.
func trimSegments(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segment, _, _ = strings.Cut(segment, ";")
		segments[i] = strings.TrimRight(segment, ". ")
	}
	return strings.Join(segments, "/")
}

// union appends to a set what it does not have yet.
func union(set, more []string) []string {
	for _, one := range more {
		if !slices.Contains(set, one) {
			set = append(set, one)
		}
	}
	return set
}
