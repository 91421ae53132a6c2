package e2e

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An app's credentials are dummies, because the broker has the real ones. They must not leave the broker.
const (
	dummyID     = "dummy-id-0815"
	dummySecret = "dummy-secret-4711"
)

// dummyCredentials configures an app with the dummies.
var dummyCredentials = withEnv("ETRUSTED_CLIENT_ID="+dummyID, "ETRUSTED_CLIENT_SECRET="+dummySecret)

// appSetup is a way to configure an app that still has its OAuth code so that it uses the broker.
type appSetup struct {
	name      string
	tokenPath string // if the broker is the app's base URL: where the app requests its token
	proxy     string // if the broker is the app's proxy: the scheme of the app's URLs
	trustsCA  bool   // whether the app trusts the broker's CA, for a proxy that it uses with CONNECT
}

var (
	viaBaseURL      = appSetup{name: "base URL", tokenPath: "/oauth/token"}
	viaOldTokenPath = appSetup{name: "base URL, older token endpoint", tokenPath: "/auth/realms/business/protocol/openid-connect/token"}
	viaHTTPProxy    = appSetup{name: "HTTP_PROXY", proxy: "http"}
	viaHTTPSProxy   = appSetup{name: "HTTPS_PROXY", proxy: "https", trustsCA: true}
	// For clients that do not support CONNECT. There is no TLS between app and broker, so the app needs no CA.
	viaHTTPSProxyWithoutConnect = appSetup{name: "HTTPS_PROXY without tunnels", proxy: "https"}
)

// startBroker starts a broker with more variables, and returns the configuration of an app in that language, with dummy
// credentials.
func (s appSetup) startBroker(t *testing.T, r *reviewsServers, l *language, environ ...string) programConfig {
	t.Helper()
	config := dummyCredentials
	if s.trustsCA {
		ca, caFile := createCA(t, apiHost, loginHost)
		environ, config = append(environ, ca), config.with(l.trustCA(t, caFile))
	}
	b := r.startBroker(t, environ...)
	if s.proxy == "" {
		return config.with(apiURLs(b.appURL, b.appURL+s.tokenPath))
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(b.appURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return config.with(apiURLs(s.proxy+"://"+apiHost, s.proxy+"://"+loginHost+"/oauth/token")).with(l.useProxy(s.proxy, host, port))
}

// apiURLs configures an app with these addresses.
func apiURLs(api, token string) programConfig {
	return withEnv("ETRUSTED_API_URL="+api, "ETRUSTED_TOKEN_URL="+token)
}

// createCA creates the CA of a broker for these names with "broker ca", as a user does before the first start. variable makes the
// broker use it.
func createCA(t *testing.T, apiHost, loginHost string) (variable, caFile string) {
	t.Helper()
	dir := t.TempDir()
	variable = "BROKER_INTERCEPT_CA_DIR=" + dir
	cmd := exec.Command(brokerBinary, "ca")
	cmd.Env = []string{variable, "ETRUSTED_API_URL=https://" + apiHost, "ETRUSTED_TOKEN_URL=https://" + loginHost + "/oauth/token"}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("broker ca: %v\n%s", err, output)
	}
	return variable, filepath.Join(dir, "ca.crt")
}

// TestUnmodifiedAppsWork: programs as shops write them work unchanged, including their OAuth code. They fetch a token with
// dummy credentials, follow the API's links to the last page, and post an event.
func TestUnmodifiedAppsWork(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		unmodifiedApp
		setups []appSetup
	}{
		{unmodifiedApp{php, "curl"}, []appSetup{viaBaseURL, viaOldTokenPath, viaHTTPProxy, viaHTTPSProxy}},
		{unmodifiedApp{php, "streams"}, []appSetup{viaBaseURL, viaHTTPProxy, viaHTTPSProxy}},
		{unmodifiedApp{node, "fetch"}, []appSetup{viaBaseURL, viaOldTokenPath}},
		{unmodifiedApp{node, "modules"}, []appSetup{viaBaseURL, viaHTTPProxy, viaHTTPSProxy}},
		{unmodifiedApp{node, "undici"}, []appSetup{viaHTTPSProxy}},
		{unmodifiedApp{node, "axios"}, []appSetup{viaHTTPSProxyWithoutConnect}},
		{unmodifiedApp{java, "HttpClient"}, []appSetup{viaBaseURL, viaHTTPProxy, viaHTTPSProxy}},
		{unmodifiedApp{java, "HttpURLConnection"}, []appSetup{viaHTTPSProxy}},
		{unmodifiedApp{python, "urllib"}, []appSetup{viaBaseURL, viaHTTPProxy, viaHTTPSProxy}},
		{unmodifiedApp{python, "requests"}, []appSetup{viaHTTPSProxy}},
		{unmodifiedApp{shell, "curl"}, []appSetup{viaHTTPSProxy}},
		{unmodifiedApp{shell, "wget"}, []appSetup{viaHTTPSProxy}},
	} {
		t.Run(test.name(), func(t *testing.T) {
			t.Parallel()
			test.need(t)
			for _, setup := range test.setups {
				t.Run(setup.name, func(t *testing.T) {
					t.Parallel()
					r := startReviewsServers(t)
					test.run(t, r, setup.startBroker(t, r, test.language))
					r.wantNoAppCredentials(t)
				})
			}
		})
	}
}

// unmodifiedApp is a language's program in testdata with one of the HTTP libraries that it can use.
type unmodifiedApp struct {
	language *language
	library  string
}

func (a unmodifiedApp) name() string { return a.language.name + " " + a.library }

// need skips the test if the language or a library that does not come with it is missing.
func (a unmodifiedApp) need(t *testing.T) {
	t.Helper()
	a.language.need(t)
	if installed := a.language.packages[a.library]; installed != nil && !installed() {
		skip(t, "E2E_"+strings.ToUpper(a.library), "NO PACKAGE "+a.library+" FOR "+a.language.name+": that it works with the broker is NOT TESTED")
	}
}

// run runs the program. It fails the test unless the program prints all reviews and sends its event.
func (a unmodifiedApp) run(t *testing.T, r *reviewsServers, config programConfig) {
	t.Helper()
	order := "order of " + t.Name()
	printed, err := a.start(t, order, config)
	if err != nil {
		t.Fatal(err)
	}
	if len(printed) == 0 {
		t.Fatal("the app printed nothing")
	}
	event := printed[len(printed)-1]
	r.wantReviews(t, printed[:len(printed)-1])
	if got := r.order(event); got != order {
		t.Errorf("the app printed the event ID %q, of the order %q; want an event for %q", event, got, order)
	}
}

// start runs the program, and returns what language.run does.
func (a unmodifiedApp) start(t *testing.T, order string, config programConfig) (words []string, err error) {
	t.Helper()
	return a.language.run(t, filepath.Join("testdata", a.language.program), config.with(withEnv("LIBRARY="+a.library, "ORDER="+order)))
}

// TestUnmodifiedAppsNeedTokenEndpointAndLinkRewriting: the same program fails if the broker does not do either. So
// TestUnmodifiedAppsWork proves that it does.
func TestUnmodifiedAppsNeedTokenEndpointAndLinkRewriting(t *testing.T) {
	t.Parallel()
	php.need(t)
	for variable, wantPages := range map[string]int{"BROKER_TOKEN_ENDPOINT": 0, "BROKER_REWRITE_LINKS": 1} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			r := startReviewsServers(t)
			// Requests that bypass the broker end at a port without a listener.
			config := viaBaseURL.startBroker(t, r, php, variable+"=false").with(php.useProxy("https", "127.0.0.1", "1"))
			if _, err := php.run(t, filepath.Join("testdata", "reviews.php"), config); err == nil {
				t.Errorf("with %s=false the program succeeded, want an error", variable)
			}
			pages := slices.DeleteFunc(r.rawRequests(), func(request string) bool { return !strings.HasPrefix(request, "GET /reviews?") })
			if len(pages) != wantPages {
				t.Errorf("with %s=false the API got %d requests for a page, want %d", variable, len(pages), wantPages)
			}
		})
	}
}

// wantReviews fails the test unless these are the IDs of all reviews, in the API's order.
func (r *reviewsServers) wantReviews(t *testing.T, ids []string) {
	t.Helper()
	if !slices.Equal(ids, r.ids) {
		t.Errorf("the app got %d reviews, want the API's %d in their order", len(ids), len(r.ids))
	}
}

// wantNoAppCredentials fails the test if the app's credentials, its placeholder token or the access key have left the broker,
// or if the broker has not fetched its own token as usual.
func (r *reviewsServers) wantNoAppCredentials(t *testing.T) {
	t.Helper()
	for _, request := range r.rawRequests() {
		for _, secret := range []string{dummyID, dummySecret, accessKey, "placeholder", "oauth", "openid-connect"} {
			if strings.Contains(strings.ToLower(request), secret) {
				t.Errorf("%q reached the API:\n%s", secret, request)
			}
		}
	}
	r.api.wantNoneRejected(t)
	requests := r.login.tokenRequests()
	if len(requests) != 1 {
		t.Errorf("the login server got %d token requests, want the broker's one", len(requests))
	}
	for _, request := range requests {
		id, secret := request.form.Get("client_id"), request.form.Get("client_secret")
		if id != clientID || secret != r.login.currentSecret() || request.header.Get("Authorization") != "" {
			t.Errorf("the login server got a token request with the credentials %q %q, want the broker's", id, secret)
		}
	}
	for _, line := range r.outProxy.requestLines() {
		if line != "CONNECT "+r.apiHost+":443" && line != "CONNECT "+r.loginHost+":443" {
			t.Errorf("the broker's proxy got %s, want only the API and the login server", line)
		}
	}
}
