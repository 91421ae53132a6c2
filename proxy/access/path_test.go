package access_test

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// checkPath returns why a target is denied; nil if it is not.
func checkPath(target string) *problem.Problem {
	return (&access.Policy{}).Check(&access.Request{Method: http.MethodGet, Host: "localhost", Target: target, APITarget: target}).Denied
}

func TestDeniesUnsafePaths(t *testing.T) {
	for target, refused := range map[string]bool{
		"/": false, "*": false, "/reviews": false, "/reviews/": false, "//": false, "//a//b/": false, "/@shop/reviews": false,
		"/...": false, "/.well-known": false, "/a..": false, "/..a": false, "/a.b": false, "/.a/.b": false, "/a;..": false, "/;": false,
		"/a%2fb": false, "/a%2F%2Fb": false, "/a%252fb": false, "/%": false, "/%2": false, "/%zz": false, "/%25": false, "/100%25": false,
		"/a?..": false, "/?/../x": false, "/a?b=\\": false, "/a%3f..": false, "/a%3fb": false, "/..a%3f": false, "/a#..": false, "/a?%00%0a%5c": false, "/a#b": false, "/ä": false, "/\xff": false, "/%c3%a4": false,
		"/a%20b": false, "/%80": false, "/%2e%2ea": false, "/%252e%252ea": false,

		"/.": true, "/..": true, "/../": true, "/a/..": true, "/a/../b": true, "/a/./b": true, "/./": true, "//..": true, "/@shop/../x": true,
		"/%2e": true, "/%2E%2e": true, "/.%2e": true, "/%2e.": true, "/a/%2e%2e/b": true, "/a%2f..": true, "/a%2f%2e%2e%2fb": true, "/..%2f": true,
		"/..?x": true, "/..;": true, "/..;a=b/c": true, "/.;/": true, "/%2e%2e%3b": true, "/..%3Ba": true,
		"/%252e%252e/": true, "/%252e.": true, "/a%252f..": true, "/%25252e%25252e": true, "/%25%32%65%2e": true, "/%zz/%2e%2e": true, "/%25zz/%252e%252e": true,
		"/a/..%3fx": true, "/a/..%3Fx/b": true, "/a/..%23": true, "/a/.%3f": true, "/a/%2e%2e%3f": true, "/a/..%253fx": true, "/a/..#b": true, "/..#": true, "/a%3f/../b": true,
		"/..%20": true, "/a/.%20/b": true, "/a/%2e%2e%20%20/b": true, "/..%2520/b": true, "/a/..%20;x/b": true, "/a/..%20%3fx": true,
		"/a/%20..": false, "/a/..%20b": false, "/a/.%20.": false,
		"/\\": true, "/a\\..\\b": true, "/%5c": true, "/a%5Cb": true, "/%255c": true, "/..\\": true,
		"/%00": true, "/a%00.json": true, "/%0d%0aX:y": true, "/%0A": true, "/%09": true, "/%7f": true, "/%1F": true, "/%2500": true, "/\x00": true, "/\x7f": true,
	} {
		denied := checkPath(target)
		if (denied != nil) != refused {
			t.Errorf("%q: got %v, want a denial %v", target, denied, refused)
		}
		if denied != nil && (denied.Status != http.StatusBadRequest || denied.DenialReason != string(access.ReasonPath)) {
			t.Errorf("%q: got %+v, want 400 for the reason path", target, denied)
		}
	}
}

// FuzzUnsafePaths: an allowed target has one meaning: with its dot segments resolved it is the same as without, however often
// it is decoded.
func FuzzUnsafePaths(f *testing.F) {
	for _, seed := range []string{"/a/b?c", "/%2e%2e/x", "/..;/x", "/a%5c..%5cb", "/%252e%252e%252f", "/%25%32%65/", "//x/", "/%00", "/a%2fb/%zz", "/a/..%3fx", "/a/..%2523"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if target == "" || checkPath(target) != nil {
			return
		}
		text, _, _ := strings.Cut(target, "?")
		for range 4 {
			if strings.ContainsAny(text, "\\\x00\r\n\x7f") {
				t.Fatalf("%q: got it allowed, but it means %q", target, text)
			}
			for _, reading := range []string{text, text[:cutAt(text, "?")], text[:cutAt(text, "#")], text[:cutAt(text, ";")]} {
				if segments := strings.Split(reading, "/"); slices.Contains(segments[1:], ".") || slices.Contains(segments[1:], "..") {
					t.Fatalf("%q: got it allowed, but it means %q", target, reading)
				}
			}
			if strings.HasPrefix(text, "/") {
				clean := path.Clean(text)
				if strings.Trim(clean, "/") != strings.Trim(squeeze(text), "/") {
					t.Fatalf("%q: got it allowed, but it means %q or %q", target, text, clean)
				}
			}
			decoded, err := url.PathUnescape(text)
			if err != nil {
				return
			}
			text = decoded
		}
	})
}

// cutAt returns the index of the first such character, or the length of the text.
func cutAt(text, character string) int {
	before, _, _ := strings.Cut(text, character)
	return len(before)
}

func squeeze(text string) string {
	for strings.Contains(text, "//") {
		text = strings.ReplaceAll(text, "//", "/")
	}
	return text
}

func BenchmarkUnsafePaths(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if checkPath("/channels/chl-7e3f7c9c-cd76-4b5f-a9a3-8a1a4c7d8b11/service-reviews/aggregate-rating?period=365") != nil {
			b.Fatal("got a denial, want none")
		}
	}
}
