package e2e

import (
	"regexp"
	"strings"
	"testing"
)

const unchangedApps = "../docs/unchanged-apps.md"

// documentedBundle is where the page and the examples keep the bundle of CAs.
const documentedBundle = "/etc/ssl/etrusted-bundle.pem"

// documentedCode returns the only block of code in docs/unchanged-apps.md in this language.
func documentedCode(t *testing.T, language string) string {
	t.Helper()
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(readFile(t, unchangedApps), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/unchanged-apps.md has %d blocks of %s, want 1", len(blocks), language)
	}
	return blocks[0][1]
}

// TestInterceptExamplesMatchDocs: the page shows the files of the examples.
func TestInterceptExamplesMatchDocs(t *testing.T) {
	t.Parallel()
	comment := regexp.MustCompile("(?m)^;.*\n")
	if got, want := readFile(t, interceptExamples+"/app/etrusted.ini"), documentedCode(t, "ini"); comment.ReplaceAllString(got, "") != comment.ReplaceAllString(want, "") {
		t.Errorf("got the ini file\n%s\nwant that of the page\n%s", got, want)
	}
	if hosts := readFile(t, interceptExamples+"/host/hosts"); !strings.Contains(readFile(t, unchangedApps), "```\n"+hosts+"```") {
		t.Errorf("the page does not have the lines of the hosts file:\n%s", hosts)
	}
}
