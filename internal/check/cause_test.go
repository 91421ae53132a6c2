package check

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

// TestCauseOfInvalidTokenResponse: a response from another server is caused by the configured URL, or, with the default URL,
// by the network in between.
func TestCauseOfInvalidTokenResponse(t *testing.T) {
	t.Parallel()
	for standard, cause := range map[bool]Cause{false: CauseConfiguration, true: CauseNetwork} {
		server := fakeetrusted.New(fakeetrusted.Options{})
		server.SetTokenFault(fakeetrusted.Answer(200, "text/html", "<p>sign in to the network</p>"))
		config := healthyConfig(t)
		config.Login.Standard = standard
		config.Transport.DialContext = inMemory(t, server).Dial
		mustFail(t, config, "token", "the login server did not return a token response", cause)
	}
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetTokenFault(fakeetrusted.OAuthError(400, "invalid_scope")) // the request was understood
	config := healthyConfig(t)
	config.Login.Standard = true
	config.Transport.DialContext = inMemory(t, server).Dial
	mustFail(t, config, "token", "invalid_scope", CauseConfiguration)
}

// TestProxyPasswordWithSlashIsNotShown: half of the password must not be taken for the host, and shown.
func TestProxyPasswordWithSlashIsNotShown(t *testing.T) {
	t.Parallel()
	proxy, err := url.Parse("http://user:4711/canary@proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	config := healthyConfig(t)
	config.Transport.Proxy = func(*http.Request) (*url.URL, error) { return proxy, nil }
	report, text := runCheck(t, config)
	if report.OK || strings.Contains(text, "4711") || strings.Contains(text, "canary") || !strings.Contains(text, "✗ login server: proxy") {
		t.Errorf("%s", text)
	}
}
