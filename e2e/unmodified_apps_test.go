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

// appSetup is a way to configure an app that still has its OAuth code so that it uses the broker.
type appSetup struct {
	name string
	// brokerEnv returns the broker's variables, and the file of the CA that the app must trust, if any.
	brokerEnv func(t *testing.T) (environ []string, caFile string)
	appConfig func(t *testing.T, l *language, b *broker, caFile string) programConfig
}

var (
	viaBaseURL = appSetup{"base URL", noBrokerEnv, func(_ *testing.T, _ *language, b *broker, _ string) programConfig {
		return apiURLs(b.appURL, b.appURL+"/oauth/token")
	}}
	viaOldTokenPath = appSetup{"base URL, older token endpoint", noBrokerEnv, func(_ *testing.T, _ *language, b *broker, _ string) programConfig {
		return apiURLs(b.appURL, b.appURL+"/auth/realms/business/protocol/openid-connect/token")
	}}
	viaHTTPProxy = appSetup{"HTTP_PROXY", noBrokerEnv, func(t *testing.T, l *language, b *broker, _ string) programConfig {
		host, port := b.appHostPort(t)
		return apiURLs("http://"+apiHost, "http://"+loginHost+"/oauth/token").with(l.useProxy("http", host, port))
	}}
	viaHTTPSProxy = appSetup{"HTTPS_PROXY", createCA, func(t *testing.T, l *language, b *broker, caFile string) programConfig {
		host, port := b.appHostPort(t)
		return upstreamURLs.with(l.useProxy("https", host, port)).with(l.trustCA(t, caFile))
	}}
	// For clients that do not support CONNECT. There is no TLS between app and broker, so the app needs no CA.
	viaHTTPSProxyWithoutConnect = appSetup{"HTTPS_PROXY without tunnels", noBrokerEnv, func(t *testing.T, l *language, b *broker, _ string) programConfig {
		host, port := b.appHostPort(t)
		return upstreamURLs.with(l.useProxy("https", host, port))
	}}
)

// upstreamURLs configures an app with the real addresses of the API and the login server.
var upstreamURLs = apiURLs("https://"+apiHost, "https://"+loginHost+"/oauth/token")

// apiURLs configures an app with these addresses.
func apiURLs(api, token string) programConfig {
	return programConfig{env: []string{"ETRUSTED_API_URL=" + api, "ETRUSTED_TOKEN_URL=" + token}}
}

func noBrokerEnv(*testing.T) ([]string, string) { return nil, "" }

// createCA creates the broker's CA with "broker ca", as a user does before the first start.
func createCA(t *testing.T) (environ []string, caFile string) {
	t.Helper()
	return createCAFor(t, apiHost, loginHost)
}

// createCAFor creates a CA for the API and the login server of these names.
func createCAFor(t *testing.T, apiHost, loginHost string) (environ []string, caFile string) {
	t.Helper()
	dir := t.TempDir()
	environ = []string{"BROKER_INTERCEPT_CA_DIR=" + dir}
	cmd := exec.Command(brokerBinary, "ca")
	cmd.Env = append([]string{"ETRUSTED_API_URL=https://" + apiHost, "ETRUSTED_TOKEN_URL=https://" + loginHost + "/oauth/token"}, environ...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("broker ca: %v\n%s", err, output)
	}
	return environ, filepath.Join(dir, "ca.crt")
}

// appHostPort returns the address to which apps connect.
func (b *broker) appHostPort(t *testing.T) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(b.appURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return host, port
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
					environ, caFile := setup.brokerEnv(t)
					test.run(t, r, setup.appConfig(t, test.language, r.startBroker(t, environ...), caFile))
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

// run runs the program with dummy credentials. It fails the test unless the program prints all reviews and sends its event.
func (a unmodifiedApp) run(t *testing.T, r *reviewsServers, config programConfig) {
	t.Helper()
	order := "order of " + t.Name()
	printed, err := a.language.run(t, filepath.Join("testdata", a.language.program), dummyCredentials.with(programConfig{env: []string{"LIBRARY=" + a.library, "ORDER=" + order}}).with(config))
	if err != nil {
		t.Fatal(err)
	}
	if len(printed) == 0 {
		t.Fatal("the app printed nothing")
	}
	event := printed[len(printed)-1]
	r.wantReviews(t, printed[:len(printed)-1])
	if got := r.ordersByEventID()[event]; got != order {
		t.Errorf("the app printed the event ID %q, of the order %q; want an event for %q", event, got, order)
	}
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
			b := r.startBroker(t, variable+"=false")
			// Requests that bypass the broker end at a port without a listener.
			config := viaBaseURL.appConfig(t, php, b, "").with(php.useProxy("https", "127.0.0.1", "1")).with(dummyCredentials)
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

// dummyCredentials configures an app with the dummies.
var dummyCredentials = programConfig{env: []string{"ETRUSTED_CLIENT_ID=" + dummyID, "ETRUSTED_CLIENT_SECRET=" + dummySecret}}

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
