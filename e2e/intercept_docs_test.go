package e2e

import (
	"os"
	"regexp"
	"testing"
)

// documentedBundle is where docs/unchanged-apps.md keeps the bundle of CAs.
const documentedBundle = "/etc/ssl/etrusted-bundle.pem"

// documentedCode returns the only block of code in docs/unchanged-apps.md in this language.
func documentedCode(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/unchanged-apps.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/unchanged-apps.md has %d blocks of %s, want 1", len(blocks), language)
	}
	return string(blocks[0][1])
}
