package operations

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// suggestedPattern is a pattern for an allow list: a method and the segments of a path.
type suggestedPattern struct {
	method   string
	segments []string
}

// AllowPatterns returns the patterns for BROKER_ALLOW that allow the operations: as few as possible, sorted by path, in the syntax
// of access.ParseAllowList. A pattern that another one covers is left out; one for GET covers HEAD too. The syntax does not permit
// two patterns that match the same request if neither is more specific, such as /a/{id}/b and /a/c/{id}. They become one that has
// {id} where they differ.
func AllowPatterns(all []UsedOperation) []string {
	var kept []suggestedPattern
	for _, operation := range all {
		kept = addMerged(kept, newSuggestedPattern(operation.Method, operation.Path))
	}
	slices.SortFunc(kept, func(a, b suggestedPattern) int {
		return cmp.Or(slices.Compare(a.segments, b.segments), cmp.Compare(a.method, b.method))
	})
	var texts []string
	for _, one := range kept {
		texts = append(texts, one.String())
	}
	return texts
}

// AllowPattern returns the pattern that allows an operation of Normalize.
func AllowPattern(operation string) string {
	method, path, _ := strings.Cut(operation, " ")
	return newSuggestedPattern(method, path).String()
}

func newSuggestedPattern(method, path string) suggestedPattern {
	return suggestedPattern{method, strings.Split(strings.TrimPrefix(path, "/"), "/")}
}

// addMerged adds a pattern to disjoint ones. Those that overlap with it are merged with it, so the result is disjoint too.
func addMerged(disjoint []suggestedPattern, added suggestedPattern) []suggestedPattern {
	for i, other := range disjoint {
		if other.overlaps(added) {
			return addMerged(slices.Delete(disjoint, i, i+1), other.union(added))
		}
	}
	return append(disjoint, added)
}

// overlaps reports whether there is a request that both match.
func (p suggestedPattern) overlaps(other suggestedPattern) bool {
	return (p.method == other.method || p.isRead() && other.isRead()) &&
		slices.EqualFunc(p.segments, other.segments, func(a, b string) bool {
			return a == b || a == idPlaceholder && b != "" || b == idPlaceholder && a != ""
		})
}

func (p suggestedPattern) isRead() bool { return p.method == "GET" || p.method == "HEAD" }

// union returns the pattern that covers two that overlap: often one of them.
func (p suggestedPattern) union(other suggestedPattern) suggestedPattern {
	both := suggestedPattern{p.method, slices.Clone(p.segments)}
	if p.method != other.method {
		both.method = "GET"
	}
	for i, segment := range other.segments {
		if both.segments[i] != segment {
			both.segments[i] = idPlaceholder
		}
	}
	return both
}

// String returns the pattern in the syntax of http.ServeMux: each wildcard has another name, and {$} keeps a slash at the end
// from matching everything below.
func (p suggestedPattern) String() string {
	var text strings.Builder
	text.WriteString(p.method + " ")
	ids := 0
	for _, segment := range p.segments {
		switch segment {
		case "":
			segment = "{$}"
		case idPlaceholder:
			if ids++; ids > 1 {
				segment = "{id" + strconv.Itoa(ids) + "}"
			}
		}
		text.WriteString("/" + segment)
	}
	return text.String()
}
