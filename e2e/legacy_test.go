package e2e

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What an app has in place of credentials since the broker has them. It is nobody's business but the broker's.
const (
	dummyID     = "dummy-id-0815"
	dummySecret = "dummy-secret-4711"
)

// way is how an app that has kept its OAuth code comes to the broker.
type way struct {
	name string
	// of the broker, and of the app.
	environ func(t *testing.T) (broker []string, ca string)
	given   func(t *testing.T, l *language, b *broker, ca string) setting
}

var (
	byBaseURL = way{"base URL", nothing, func(_ *testing.T, _ *language, b *broker, _ string) setting {
		return urls(b.app, b.app+"/oauth/token")
	}}
	byOlderURL = way{"base URL, older token endpoint", nothing, func(_ *testing.T, _ *language, b *broker, _ string) setting {
		return urls(b.app, b.app+"/auth/realms/business/protocol/openid-connect/token")
	}}
	byHTTPProxy = way{"HTTP_PROXY", nothing, func(t *testing.T, l *language, b *broker, _ string) setting {
		host, port := b.split(t)
		return urls("http://"+apiHost, "http://"+loginHost+"/oauth/token").and(l.proxied("http", host, port))
	}}
	byHTTPSProxy = way{"HTTPS_PROXY", ownAuthority, func(t *testing.T, l *language, b *broker, ca string) setting {
		host, port := b.split(t)
		return hardCoded.and(l.proxied("https", host, port)).and(l.trusting(t, ca))
	}}
	// For clients that do not know CONNECT. There is no TLS, and so nobody to be trusted.
	byHTTPSProxyInClear = way{"HTTPS_PROXY without tunnels", nothing, func(t *testing.T, l *language, b *broker, _ string) setting {
		host, port := b.split(t)
		return hardCoded.and(l.proxied("https", host, port))
	}}
)

// hardCoded are the API's and the login server's own addresses.
var hardCoded = urls("https://"+apiHost, "https://"+loginHost+"/oauth/token")

func urls(api, token string) setting {
	return setting{environ: []string{"ETRUSTED_API_URL=" + api, "ETRUSTED_TOKEN_URL=" + token}}
}

func nothing(*testing.T) ([]string, string) { return nil, "" }

// ownAuthority makes the broker's authority with the command for that, as one would before the broker first runs.
func ownAuthority(t *testing.T) ([]string, string) {
	t.Helper()
	folder := t.TempDir()
	environ := []string{"BROKER_INTERCEPT_CA_DIR=" + folder}
	command := exec.Command(binary, "ca")
	command.Env = append([]string{"ETRUSTED_API_URL=https://" + apiHost, "ETRUSTED_TOKEN_URL=https://" + loginHost + "/oauth/token"}, environ...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("broker ca: %v\n%s", err, output)
	}
	return environ, filepath.Join(folder, "ca.crt")
}

// split returns where an app connects.
func (b *broker) split(t *testing.T) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(b.app, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// TestLegacyCode holds that what shops have written works unchanged, OAuth and all: it fetches a token with credentials
// that are none, follows the API's links as they are to the end, and posts an event.
func TestLegacyCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		language *language
		file     string
		via      string // with which of the language's libraries
		ways     []way
	}{
		{php, "reviews.php", "curl", []way{byBaseURL, byOlderURL, byHTTPProxy, byHTTPSProxy}},
		{php, "reviews.php", "streams", []way{byBaseURL, byHTTPProxy, byHTTPSProxy}},
		{node, "reviews.mjs", "fetch", []way{byBaseURL, byOlderURL}},
		{node, "reviews.mjs", "modules", []way{byBaseURL, byHTTPProxy, byHTTPSProxy}},
		{node, "reviews.mjs", "axios", []way{byHTTPSProxyInClear}},
		{java, "Reviews.java", "HttpClient", []way{byBaseURL, byHTTPProxy, byHTTPSProxy}},
		{python, "reviews.py", "urllib", []way{byBaseURL, byHTTPProxy, byHTTPSProxy}},
	} {
		t.Run(test.language.name+" "+test.via, func(t *testing.T) {
			t.Parallel()
			test.language.need(t)
			for _, way := range test.ways {
				t.Run(way.name, func(t *testing.T) {
					t.Parallel()
					r := newReviews(t)
					environ, ca := way.environ(t)
					given := way.given(t, test.language, r.start(t, environ...), ca)
					order := "order of " + t.Name()
					printed, err := test.language.run(t, filepath.Join("testdata", test.file), given.and(dummies).and(setting{environ: []string{"VIA=" + test.via, "ORDER=" + order}}))
					if err != nil {
						t.Fatal(err)
					}
					r.wantReviews(t, printed[:max(0, len(printed)-1)])
					if orders := r.orders(); len(orders) != 1 || orders[printed[len(printed)-1]] != order {
						t.Errorf("events %q, and the app was told %q", orders, printed[len(printed)-1])
					}
					r.wantNoDummies(t)
				})
			}
		})
	}
}

// TestLegacyCodeAlone is what makes TestLegacyCode mean something: the same code gets nowhere when the broker does not do
// what is done for it.
func TestLegacyCodeAlone(t *testing.T) {
	t.Parallel()
	php.need(t)
	for variable, after := range map[string]int{"BROKER_TOKEN_ENDPOINT": 0, "BROKER_REWRITE_LINKS": 1} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			r := newReviews(t)
			b := r.start(t, variable+"=false")
			// What goes past the broker ends where nobody listens.
			given := byBaseURL.given(t, php, b, "").and(php.proxied("https", "127.0.0.1", "1")).and(dummies)
			if _, err := php.run(t, filepath.Join("testdata", "reviews.php"), given); err == nil {
				t.Errorf("with %s=false all went well", variable)
			}
			pages := slices.DeleteFunc(r.requests(), func(request string) bool { return !strings.HasPrefix(request, "GET /reviews?") })
			if len(pages) != after {
				t.Errorf("with %s=false the app asked the API for %d pages, want %d", variable, len(pages), after)
			}
		})
	}
}

var dummies = setting{environ: []string{"ETRUSTED_CLIENT_ID=" + dummyID, "ETRUSTED_CLIENT_SECRET=" + dummySecret}}

// wantReviews fails the test unless these are all reviews, in their order.
func (r *reviews) wantReviews(t *testing.T, ids []string) {
	t.Helper()
	if !slices.Equal(ids, r.ids) {
		t.Errorf("the app got %d reviews, want the API's %d in their order", len(ids), len(r.ids))
	}
}

// wantNoDummies fails the test if anything of the app's OAuth, or the access key, has left the broker, or if the broker has
// not used its own OAuth as it always does.
func (r *reviews) wantNoDummies(t *testing.T) {
	t.Helper()
	for _, request := range r.requests() {
		for _, part := range []string{dummyID, dummySecret, accessKey, "placeholder", "oauth", "openid-connect"} {
			if strings.Contains(strings.ToLower(request), part) {
				t.Errorf("%q came to the API:\n%s", part, request)
			}
		}
	}
	if refused := r.api.refused(); len(refused) > 0 {
		t.Errorf("the API refused %d requests, the first for: %s", len(refused), refused[0].reason)
	}
	requests := r.login.tokenRequests()
	if len(requests) != 1 {
		t.Errorf("%d token requests came to the login server, want the broker's one", len(requests))
	}
	for _, request := range requests {
		id, secret := request.form.Get("client_id"), request.form.Get("client_secret")
		if id != clientID || secret != r.login.currentSecret() || request.header.Get("Authorization") != "" {
			t.Errorf("a token request with the credentials %q %q", id, secret)
		}
	}
	for _, target := range r.tunnels.targets() {
		if target != "CONNECT "+apiHost+":443" && target != "CONNECT "+loginHost+":443" {
			t.Errorf("the broker asked its proxy for %s", target)
		}
	}
}
