package e2e

import (
	"html"
	"strings"
	"testing"
	"time"
)

// TestBrowserUserIsServed: a user who types the broker's address is served. The browser then sends Sec-Fetch-Site: none.
func TestBrowserUserIsServed(t *testing.T) {
	t.Parallel()
	needChromium(t)
	b := startReadyBroker(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(b.appURL, "http://"), ":")
	output, exited, _ := startChromium(t, "--dump-dom", "http://localhost:"+port+"/channels")
	select {
	case <-exited:
	case <-time.After(browserTimeout):
		t.Fatalf("Chromium did not show the page within %v", browserTimeout)
	}
	if !strings.Contains(html.UnescapeString(output.String()), apiBody) {
		t.Errorf("the page does not show the API's response %s", apiBody)
	}
	if reasons := strings.Join(b.denialReasons("/channels"), ""); reasons != "" {
		t.Errorf("the user's request was refused for %s, want served", reasons)
	}
}
