package operations_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/operations"
	"etrusted-broker/proxy/access"
)

func TestWritesFewestPatterns(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ used, want []string }{
		{nil, nil},
		{[]string{"GET /reviews/1", "GET /reviews", "GET /reviews/2"}, []string{"GET /reviews", "GET /reviews/{id}"}},
		{[]string{"GET /reviews/count", "GET /reviews/1"}, []string{"GET /reviews/{id}"}},
		{[]string{"HEAD /reviews", "GET /reviews"}, []string{"GET /reviews"}},
		{[]string{"HEAD /reviews", "PUT /reviews"}, []string{"HEAD /reviews", "PUT /reviews"}},
		{[]string{"GET /reviews/"}, []string{"GET /reviews/{$}"}},
		{[]string{"GET /"}, []string{"GET /{$}"}},
		{[]string{"GET /a/1/b/2"}, []string{"GET /a/{id}/b/{id2}"}},
		{[]string{"GET /a/1/b", "GET /a/c/2", "GET /a/c/b"}, []string{"GET /a/{id}/{id2}"}},
		{[]string{"GET /a/1/b", "POST /a/c/2"}, []string{"POST /a/c/{id}", "GET /a/{id}/b"}},
		{[]string{"HEAD /a/1", "GET /a/b"}, []string{"GET /a/{id}"}},
	} {
		c := new(operations.Counts)
		for _, request := range test.used {
			method, path, _ := strings.Cut(request, " ")
			c.Add("", method, path, noon)
		}
		all, _ := c.All()
		if got := operations.AllowPatterns(all); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.used, got, test.want)
		}
	}
}

// The patterns allow every request that was counted, and nothing with another method or with another number of segments.
func TestPatternsAllowWhatWasCounted(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	request := func() (method, path string) {
		path = "/" + pick("reviews", "channels", "a")
		for range random.IntN(4) {
			path += "/" + pick("reviews", "channels", "count", "a", "b", "a", "b", "1", "x.y", "A%20b.", "rev-"+uuid, "anna@example.com", "%40", "%C3%A4")
		}
		return pick("GET", "HEAD", "POST", "DELETE"), path + pick("", "", "", "/")
	}
	for range 500 {
		var used [][2]string
		for range 1 + random.IntN(12) {
			method, path := request()
			used = append(used, [2]string{method, path})
		}
		checkPatterns(t, used, request)
	}
}

// checkPatterns compares the patterns for some requests with these and with others. It skips requests without an operation.
func checkPatterns(t *testing.T, used [][2]string, other func() (method, path string)) {
	t.Helper()
	c := new(operations.Counts)
	shapes := map[string]bool{} // method and number of segments
	shape := func(method, path string) string {
		if method == "HEAD" { // a pattern for GET allows it
			method = "GET"
		}
		end := ""
		if strings.HasSuffix(path, "/") {
			end = "/"
		}
		return method + strings.Repeat("/", strings.Count(path, "/")) + end
	}
	for _, request := range used {
		c.Add("", request[0], request[1], noon)
		shapes[shape(request[0], request[1])] = true
	}
	all, _ := c.All()
	if len(all) == 0 {
		return
	}
	patterns := operations.AllowPatterns(all)
	rules, err := access.ParseAllowList(strings.Split(strings.Join(patterns, ", "), ",")) // as in BROKER_ALLOW
	if err != nil {
		t.Fatalf("%q: got %q, %v, want valid patterns", used, patterns, err)
	}
	for _, request := range used {
		if _, counted := operations.Normalize(request[0], request[1]); counted && !rules.Allowed(request[0], request[1]) {
			t.Errorf("%q: got %q, which does not allow %q, want it allowed", used, patterns, request)
		}
	}
	for _, one := range all {
		if !rules.Allowed(one.Method, one.Path) {
			t.Errorf("%q: got %q, which does not allow %s %s, want it allowed", used, patterns, one.Method, one.Path)
		}
	}
	for range 20 {
		if method, path := other(); rules.Allowed(method, path) && !shapes[shape(method, path)] {
			t.Errorf("%q: got %q, which allows %s %s, want it denied", used, patterns, method, path)
		}
	}
}

// Whatever the path is: if it is counted, the pattern allows it, and has no characters but those of a pattern.
func FuzzPatternAllowsRequest(f *testing.F) {
	for _, path := range []string{"/reviews/1", "/a;b/c", "/a/%2e%20", "/a/%252f", "/a/.%20.", "/a/\xff", "/a/%C3%A4", "/@a/a/@b", "/a/ /."} {
		f.Add("GET", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		operation, ok := operations.Normalize(method, path)
		if !ok {
			return
		}
		if strings.Trim(operation, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 /-{}") != "" {
			t.Errorf("%q: got %q, want only the characters of a pattern", path, operation)
		}
		if strings.HasPrefix(path, "/@") { // the account is removed before the rules are applied
			return
		}
		checkPatterns(t, [][2]string{{method, path}}, func() (string, string) { return "PATCH", path })
	})
}
