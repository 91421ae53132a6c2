package access_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"etrusted-broker/proxy/access"
)

// hops are what servers before the API may do to a path before they forward it.
var hops = []func(string) string{
	func(path string) string {
		if decoded, err := url.PathUnescape(path); err == nil {
			return decoded
		}
		return path
	},
	func(path string) string { before, _, _ := strings.Cut(path, "?"); return before },
	func(path string) string { before, _, _ := strings.Cut(path, "#"); return before },
	func(path string) string { before, _, _ := strings.Cut(path, ";"); return before },
	func(path string) string { return parameters.ReplaceAllString(path, "") },
	func(path string) string { return dotsAtTheEnd.ReplaceAllString(path, "$1") },
	squeeze,
	func(path string) string { return strings.ReplaceAll(path, "//", "/") },
}

var (
	parameters   = regexp.MustCompile(`;[^/]*`)
	dotsAtTheEnd = regexp.MustCompile(`[. ]+(/|$)`)
)

// FuzzAllowList sends a path over some hops. An allowed path must still be allowed as the API receives it.
func FuzzAllowList(f *testing.F) {
	for _, seed := range []string{
		"/reviews/1/veto", "/reviews/1%3f/veto", "/reviews/1%253f/veto%3f/x/veto", "/reviews/1%2fveto", "/reviews/;/veto", "/reviews//1/veto",
		"/open//..;/x", "/open%3b/x", "/%2fopen/", "/open/%252f%2f", "/reviews/...//veto",
	} {
		f.Add(seed, []byte{0, 1, 0, 6})
		f.Add(seed, []byte{4, 0, 5, 0, 0, 7})
	}
	rules, err := access.ParseAllowList([]string{"DELETE /reviews/{id}/veto", "DELETE /open/"})
	if err != nil {
		f.Fatal(err)
	}
	allowed := regexp.MustCompile(`^/reviews/[^/]+/veto$|^/open/`)
	f.Fuzz(func(t *testing.T, target string, order []byte) {
		if !strings.HasPrefix(target, "/") || strings.Contains(target, "?") || checkPath(target) != nil || !rules.Allowed(http.MethodDelete, target) {
			return
		}
		path, decoded := hops[0](target), 1 // the API decodes it itself
		if len(order) > 16 {
			order = order[:16]
		}
		for _, next := range order {
			at := int(next) % len(hops)
			if at == 0 {
				if decoded++; decoded > 3 {
					continue
				}
			}
			if path = hops[at](path); !allowed.MatchString(path) {
				t.Fatalf("%q: got it allowed, but it becomes %q by the hops %v", target, path, order)
			}
		}
	})
}
