package e2e

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInterceptWordPressPlugin: the documented plugin changes the CAs for the two hosts only.
func TestInterceptWordPressPlugin(t *testing.T) {
	t.Parallel()
	php.need(t)
	want := map[string]string{
		"https://api.etrusted.com/reviews?count=1":      documentedBundle,
		"https://login.etrusted.com/oauth/token":        documentedBundle,
		"https://integrations.etrusted.com/":            "of-wordpress",
		"https://api.etrusted.com.attacker.example/":    "of-wordpress",
		"https://api.etrusted.com@attacker.example/":    "of-wordpress",
		"https://shop.example/?url=api.etrusted.com":    "of-wordpress",
		"https:///invalid":                              "of-wordpress",
		"https://api.wordpress.org/core/version-check/": "of-wordpress",
	}
	urls := slices.Sorted(maps.Keys(want))
	printed, err := php.run(t, filepath.Join("testdata", "wordpress.php"), withEnv(
		"PLUGIN="+tempFile(t, documentedCode(t, "php")), "URLS="+strings.Join(urls, " "),
	))
	if err != nil || len(printed) != len(urls) {
		t.Fatalf("got %q and %v, want %d lines", printed, err, len(urls))
	}
	for i, url := range urls {
		if printed[i] != want[url] {
			t.Errorf("%s: got the bundle %s, want %s", url, printed[i], want[url])
		}
	}
}
