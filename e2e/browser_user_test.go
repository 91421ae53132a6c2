package e2e

import (
	"html"
	"strings"
	"testing"
	"time"
)

// TestBrowserUser holds that a user who types the broker's address himself is served: Sec-Fetch-Site is then none.
func TestBrowserUser(t *testing.T) {
	t.Parallel()
	needChromium(t)
	b := startBrowsed(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(b.app, "http://"), ":")
	output, exited, _ := startChromium(t, "--dump-dom", "http://localhost:"+port+"/channels")
	select {
	case <-exited:
	case <-time.After(pagePatience):
		t.Fatalf("Chromium did not show the page within %v", pagePatience)
	}
	if !strings.Contains(html.UnescapeString(output.String()), apiAnswer) {
		t.Error("the user was not shown the API's answer")
	}
	if reasons := strings.Join(b.denials("/channels"), ""); reasons != "" {
		t.Errorf("the user's request was refused for %s", reasons)
	}
}
