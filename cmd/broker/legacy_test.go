package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// fetchToken requests a token as an app's own OAuth code does.
func fetchToken(t *testing.T, client *http.Client, tokenURL string, form url.Values) (token string, status int) {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	got := brokertest.ReadResponse(client.PostForm(tokenURL, form))
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	var response struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(got.Body), &response); err != nil {
		t.Fatalf("%v: %s", err, got.Body)
	}
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Proxy-Status") == "" {
		t.Errorf("got header %v, want Cache-Control: no-store and Proxy-Status", got.Header)
	}
	return response.AccessToken, got.Status
}

// followReviews follows the links through all pages of reviews, and returns the numbers of both.
func followReviews(t *testing.T, first, token string) (reviews, pages int) {
	t.Helper()
	for next := first; next != ""; pages++ {
		got := getWithKey(t, next, token)
		var page struct {
			Paging struct {
				Links struct{ Next string }
			}
			TotalElements int
			Items         []struct{ ID string }
		}
		if err := json.Unmarshal([]byte(got.Body), &page); err != nil || got.Status != http.StatusOK {
			t.Fatalf("%s: %d %v %s", next, got.Status, err, got.Body)
		}
		if next = page.Paging.Links.Next; pages > 1000 {
			t.Fatal("got more than 1000 pages, want an end")
		}
		reviews += len(page.Items)
	}
	return reviews, pages
}

// TestServesAppWithItsOwnOAuthCode: an app that fetches its own tokens and follows the API's links needs no other change than the
// base URL.
func TestServesAppWithItsOwnOAuthCode(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_ACCOUNTS_DIR="+dir))
	b.WaitReady()
	brokertest.Eventually(t, "the other account has a token", func() bool { return brokertest.Get(t, b.URL+"/@shop-de/channels").Status == http.StatusOK })
	before := eTrusted.TokenRequestCount()
	for _, test := range []struct{ path, client, token string }{
		{"/oauth/token", "dummy", "placeholder"},
		{"/auth/realms/business/protocol/openid-connect/token", "dummy", "placeholder"},
		{"/oauth/token", "shop-de", "placeholder:shop-de"},
		{"/@shop-de/oauth/token", "dummy", "placeholder:shop-de"},
	} {
		token, status := fetchToken(t, brokertest.Client, b.URL+test.path, url.Values{"client_id": {test.client}, "client_secret": {"x"}})
		if token != test.token || status != http.StatusOK {
			t.Fatalf("%+v: got token %q, status %d, want %q, 200", test, token, status, test.token)
		}
		if reviews, pages := followReviews(t, b.URL+"/reviews?count=7", token); reviews == 0 || pages < 3 {
			t.Errorf("got %d reviews on %d pages, want some on at least 3", reviews, pages)
		}
		requests := eTrusted.APIRequests()
		authorization := requests[len(requests)-1].Header.Get("Authorization")
		plain := brokertest.Get(t, b.URL+"/@default/channels")
		requests = eTrusted.APIRequests()
		if isDefault := requests[len(requests)-1].Header.Get("Authorization") == authorization; isDefault == strings.HasSuffix(token, ":shop-de") || plain.Status != 200 {
			t.Errorf("%s: got the token of the default account: %t, want %t", token, isDefault, !isDefault)
		}
	}
	if reviews, _ := followReviews(t, b.URL+"/@shop-de/reviews?count=50", ""); reviews == 0 {
		t.Error("got no reviews by the account's path, want some")
	}
	if got := getWithKey(t, b.URL+"/channels", "placeholder:unknown"); got.Status != http.StatusNotFound {
		t.Errorf("the placeholder token of an unknown account: got status %d, want 404", got.Status)
	}
	if n := eTrusted.TokenRequestCount(); n != before {
		t.Errorf("got %d token requests to the login server, want none", n-before)
	}
	if got := brokertest.Get(t, b.URL+"/oauth/token"); got.Header.Get("Proxy-Status") != "" || eTrusted.TokenRequestCount() == before {
		t.Errorf("a GET of the token endpoint: got %d %v, want the API's response", got.Status, got.Header)
	}
	for _, r := range eTrusted.APIRequests() {
		if strings.Contains(r.Header.Get("Authorization"), "placeholder") {
			t.Error("got a placeholder token in a request to the API, want none")
		}
	}
}

func TestTokenEndpointAndLinkRewritingCanBeDisabled(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	upstream := brokertest.Serve(t, eTrusted)
	b := startBroker(t, nil, brokertest.Environ(upstream, "BROKER_TOKEN_ENDPOINT=false", "BROKER_REWRITE_LINKS=false"))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/reviews?count=1"); !strings.Contains(got.Body, upstream+"/reviews?") || strings.Contains(got.Body, b.URL) {
		t.Errorf("got %s, want the API's links", got.Body)
	}
	before := eTrusted.TokenRequestCount()
	form := url.Values{"grant_type": {"client_credentials"}}
	if got := brokertest.ReadResponse(brokertest.Client.PostForm(b.URL+"/oauth/token", form)); got.Header.Get("Proxy-Status") != "" || eTrusted.TokenRequestCount() == before {
		t.Errorf("a token request: got %d %s, want the API's response", got.Status, got.Body)
	}
	if got := getWithKey(t, b.URL+"/channels", "placeholder:unknown"); got.Status != http.StatusOK {
		t.Errorf("with a placeholder token: got status %d, want 200 for the default account", got.Status)
	}
}

// TestPlaceholderTokenCarriesAccessKey: with an access key, only clients that know it get a placeholder token, which contains it.
func TestPlaceholderTokenCarriesAccessKey(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	file := filepath.Join(t.TempDir(), "key")
	brokertest.ReplaceFile(t, file, []byte("first-key-0815-4711"))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_KEY_FILE="+file))
	b.WaitReady()
	if token, status := fetchToken(t, brokertest.Client, b.URL+"/oauth/token", url.Values{"client_secret": {"wrong"}}); token != "" || status != http.StatusUnauthorized {
		t.Errorf("with a wrong key: got token %q, status %d, want none, 401", token, status)
	}
	if _, status := fetchToken(t, brokertest.Client, b.URL+"/@unknown/oauth/token", url.Values{"client_secret": {"wrong"}}); status != http.StatusUnauthorized {
		t.Errorf("an unknown account with a wrong key: got status %d, want 401", status)
	}
	token, status := fetchToken(t, brokertest.Client, b.URL+"/oauth/token", url.Values{"client_id": {"default"}, "client_secret": {"first-key-0815-4711"}})
	if status != http.StatusOK {
		t.Fatalf("with the key: got token %q, status %d, want 200", token, status)
	}
	for bearer, want := range map[string]int{token: 200, "placeholder": 401, "placeholder:default": 401, "placeholder:default:": 401, "placeholder::wrong": 401, "": 401} {
		if got := getWithKey(t, b.URL+"/channels", bearer); got.Status != want {
			t.Errorf("%q: got status %d, want %d", bearer, got.Status, want)
		}
	}
	brokertest.ReplaceFile(t, file, []byte("second-key-0815-4711"))
	brokertest.Eventually(t, "the new key is valid", func() bool {
		return getWithKey(t, b.URL+"/channels", "placeholder::second-key-0815-4711").Status == 200
	})
	if got := getWithKey(t, b.URL+"/channels", token); got.Status != http.StatusOK {
		t.Errorf("just after the change, the token with the old key: got status %d, want 200", got.Status)
	}
	if strings.Contains(b.Logs.String()+brokertest.Get(t, b.Admin+"/metrics").Body, "key-0815") {
		t.Error("got an access key in the log or the metrics, want none")
	}
}

// throughProxy returns a client that uses the broker as its HTTP proxy.
func throughProxy(t *testing.T, proxy string, transport *http.Transport) *http.Client {
	t.Helper()
	proxyURL, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = http.ProxyURL(proxyURL)
	transport.DisableKeepAlives = true
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: brokertest.Timeout}
}

// TestServesAsForwardProxy: apps that use plain HTTP can set HTTP_PROXY to the broker.
func TestServesAsForwardProxy(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	upstream := brokertest.Serve(t, eTrusted)
	b := startBroker(t, nil, brokertest.Environ(upstream, "BROKER_ACCESS_KEY=the-key-0815-4711"))
	withKey := strings.Replace(b.URL, "http://", "http://app:the-key-0815-4711@", 1)
	b.WaitReady()
	for _, test := range []struct {
		proxy, url string
		want       int
	}{
		{withKey, upstream + "/channels", 200},
		{b.URL, upstream + "/channels", 401},
		{withKey, "http://elsewhere.example/channels", 403},
	} {
		got := brokertest.ReadResponse(throughProxy(t, test.proxy, &http.Transport{}).Get(test.url))
		if got.Status != test.want {
			t.Errorf("%s through %s: got status %d, %v, want %d", test.url, test.proxy, got.Status, got.Err, test.want)
		}
	}
	for _, r := range eTrusted.APIRequests() {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("got the access key in a request to the API, want none")
		}
	}
}
