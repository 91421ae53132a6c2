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

// fetchToken does what shops' code does before anything else.
func fetchToken(t *testing.T, url string, form url.Values) (token string, status int) {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(form.Encode()))
	if err == nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	got := brokertest.Do(request, err)
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(got.Body), &answer); err != nil {
		t.Fatalf("%v: %s", err, got.Body)
	}
	if got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("Proxy-Status") == "" {
		t.Errorf("header %v", got.Header)
	}
	return answer.AccessToken, got.Status
}

// followReviews pages through all reviews by their links, and returns how many there were.
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
			t.Fatal("there is no end")
		}
		reviews += len(page.Items)
	}
	return reviews, pages
}

// An app that keeps its OAuth code, and follows the API's links, is served without any other change than the base URL.
func TestServesAppWithItsOwnOAuthCode(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetClient("id-de", "secret-de")
	dir := t.TempDir()
	addAccount(t, dir, "shop-de", "id-de", "secret-de")
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "ETRUSTED_ACCOUNTS_DIR="+dir))
	b.WaitReady()
	brokertest.Eventually(t, "the other account has a token", func() bool { return brokertest.Get(t, b.URL+"/@shop-de/channels").Status == http.StatusOK })
	asked := eTrusted.TokenRequestCount()
	for _, test := range []struct{ at, client, token string }{
		{"/oauth/token", "dummy", "placeholder"},
		{"/auth/realms/business/protocol/openid-connect/token", "dummy", "placeholder"},
		{"/oauth/token", "shop-de", "placeholder:shop-de"},
		{"/@shop-de/oauth/token", "dummy", "placeholder:shop-de"},
	} {
		token, status := fetchToken(t, b.URL+test.at, url.Values{"client_id": {test.client}, "client_secret": {"x"}})
		if token != test.token || status != http.StatusOK {
			t.Fatalf("%+v: %q %d", test, token, status)
		}
		if reviews, pages := followReviews(t, b.URL+"/reviews?count=7", token); reviews == 0 || pages < 3 {
			t.Errorf("%d reviews on %d pages", reviews, pages)
		}
		requests := eTrusted.APIRequests()
		real := requests[len(requests)-1].Header.Get("Authorization")
		plain := brokertest.Get(t, b.URL+"/@default/channels")
		requests = eTrusted.APIRequests()
		if isDefault := requests[len(requests)-1].Header.Get("Authorization") == real; isDefault == strings.HasSuffix(token, ":shop-de") || plain.Status != 200 {
			t.Errorf("%s: goes with the token of the default account: %v", token, isDefault)
		}
	}
	if reviews, _ := followReviews(t, b.URL+"/@shop-de/reviews?count=50", ""); reviews == 0 {
		t.Error("no reviews by the account's path")
	}
	if got := getWithKey(t, b.URL+"/channels", "placeholder:nobody"); got.Status != http.StatusNotFound {
		t.Errorf("the placeholder token of an account that is gone: %d", got.Status)
	}
	if n := eTrusted.TokenRequestCount(); n != asked {
		t.Errorf("%d token requests went to the login server", n-asked)
	}
	if got := brokertest.Get(t, b.URL+"/oauth/token"); got.Header.Get("Proxy-Status") != "" || eTrusted.TokenRequestCount() == asked {
		t.Errorf("a GET does not go upstream: %d %v", got.Status, got.Header)
	}
	for _, r := range eTrusted.APIRequests() {
		if strings.Contains(r.Header.Get("Authorization"), "placeholder") {
			t.Error("a placeholder token went to the API")
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
		t.Errorf("rewritten: %s", got.Body)
	}
	asked := eTrusted.TokenRequestCount()
	request, err := http.NewRequest(http.MethodPost, b.URL+"/oauth/token", strings.NewReader("grant_type=client_credentials"))
	if err == nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if got := brokertest.Do(request, err); got.Header.Get("Proxy-Status") != "" || eTrusted.TokenRequestCount() == asked {
		t.Errorf("answered by the broker: %d %s", got.Status, got.Body)
	}
	if got := getWithKey(t, b.URL+"/channels", "placeholder:nobody"); got.Status != http.StatusOK {
		t.Errorf("a placeholder token selects an account: %d", got.Status)
	}
}

// With an access key, a placeholder token is only for clients that know it, and carries it.
func TestPlaceholderTokenCarriesAccessKey(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	file := filepath.Join(t.TempDir(), "key")
	brokertest.ReplaceFile(t, file, []byte("first-key-0815-4711"))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_KEY_FILE="+file))
	b.WaitReady()
	if token, status := fetchToken(t, b.URL+"/oauth/token", url.Values{"client_secret": {"wrong"}}); token != "" || status != http.StatusUnauthorized {
		t.Errorf("with a wrong key: %q %d", token, status)
	}
	if _, status := fetchToken(t, b.URL+"/@nobody/oauth/token", url.Values{"client_secret": {"wrong"}}); status != http.StatusUnauthorized {
		t.Errorf("without the key it is told which accounts there are: %d", status)
	}
	token, status := fetchToken(t, b.URL+"/oauth/token", url.Values{"client_id": {"default"}, "client_secret": {"first-key-0815-4711"}})
	if status != http.StatusOK {
		t.Fatalf("%q %d", token, status)
	}
	for shown, want := range map[string]int{token: 200, "placeholder": 401, "placeholder:default": 401, "placeholder:default:": 401, "placeholder::wrong": 401, "": 401} {
		if got := getWithKey(t, b.URL+"/channels", shown); got.Status != want {
			t.Errorf("%q: %d, want %d", shown, got.Status, want)
		}
	}
	brokertest.ReplaceFile(t, file, []byte("second-key-0815-4711"))
	brokertest.Eventually(t, "the new key is taken", func() bool {
		return getWithKey(t, b.URL+"/channels", "placeholder::second-key-0815-4711").Status == 200
	})
	if got := getWithKey(t, b.URL+"/channels", token); got.Status != http.StatusOK {
		t.Errorf("just after the change, the token with the old key: %d", got.Status)
	}
	if strings.Contains(b.Logs.String()+brokertest.Get(t, b.Admin+"/metrics").Body, "key-0815") {
		t.Error("a key has got out")
	}
}

// throughProxy is a client that takes the broker for its HTTP proxy.
func throughProxy(t *testing.T, proxy string, transport *http.Transport) *http.Client {
	t.Helper()
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = http.ProxyURL(at)
	transport.DisableKeepAlives = true
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: brokertest.Timeout}
}

// An app that can set nothing but HTTP_PROXY, and speaks http:, is served as well.
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
		response, err := throughProxy(t, test.proxy, &http.Transport{}).Get(test.url)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s through %s: %d, want %d", test.url, test.proxy, response.StatusCode, test.want)
		}
	}
	for _, r := range eTrusted.APIRequests() {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the key went to the API")
		}
	}
}
