package doctor

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

// TestNonsenseFromTheLoginServer holds who is to blame for an answer that is none: who wrote the address, and where that is
// eTrusted's own, what stands in the way.
func TestNonsenseFromTheLoginServer(t *testing.T) {
	t.Parallel()
	for standard, fault := range map[bool]Fault{false: Configuration, true: Network} {
		server := fakeetrusted.New(fakeetrusted.Options{})
		server.SetTokenFault(fakeetrusted.Answer(200, "text/html", "<p>sign in to the network</p>"))
		config := healthy(t)
		config.Login.Standard = standard
		config.Transport.DialContext = memory(t, server).Dial
		mustFail(t, config, "token", "the login server did not return a token response", fault)
	}
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetTokenFault(fakeetrusted.OAuthError(400, "invalid_scope")) // it has understood
	config := healthy(t)
	config.Login.Standard = true
	config.Transport.DialContext = memory(t, server).Dial
	mustFail(t, config, "token", "invalid_scope", Configuration)
}

// TestPasswordCutBySlash holds that half of a proxy's password is not taken for its address, and shown.
func TestPasswordCutBySlash(t *testing.T) {
	t.Parallel()
	proxy, err := url.Parse("http://user:4711/canary@proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	config := healthy(t)
	config.Transport.Proxy = func(*http.Request) (*url.URL, error) { return proxy, nil }
	report, text := examined(t, config)
	if report.OK || strings.Contains(text, "4711") || strings.Contains(text, "canary") || !strings.Contains(text, "✗ login server: proxy") {
		t.Errorf("%s", text)
	}
}
