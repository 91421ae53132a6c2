package e2e

import (
	"html"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestBrowserUserIsServed: a user who types the broker's address is served. The browser then sends Sec-Fetch-Site: none.
func TestBrowserUserIsServed(t *testing.T) {
	t.Parallel()
	needChromium(t)
	b := startTestServers(t, time.Minute).startReadyBroker(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(b.appURL, "http://"), ":")
	browser := brokertest.StartProcess(t, chromiumCommand(t.Context(), t, "--dump-dom", "http://localhost:"+port+"/channels"), dbusErrors)
	select {
	case <-browser.Ended:
	case <-time.After(browserTimeout):
		t.Fatalf("Chromium did not show the page within %v", browserTimeout)
	}
	if !strings.Contains(html.UnescapeString(browser.Output.String()), apiBody) {
		t.Errorf("the page does not show the API's response %s", apiBody)
	}
	if reasons := strings.Join(b.denialReasons("/channels"), ""); reasons != "" {
		t.Errorf("the user's request was refused for %s, want served", reasons)
	}
}
