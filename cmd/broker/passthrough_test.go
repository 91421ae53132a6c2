package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// otherHost is a server that is not eTrusted. It answers with what it has received.
type otherHost struct {
	mu       sync.Mutex
	requests []*http.Request
}

func (o *otherHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	o.requests = append(o.requests, r)
	o.mu.Unlock()
	w.Header().Set("Link", "<http://api.example/x>")
	_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
}

// last returns the last request.
func (o *otherHost) last(t *testing.T) *http.Request {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.requests) == 0 {
		t.Fatal("the other host got no request")
	}
	return o.requests[len(o.requests)-1]
}

// startPassing starts a broker that passes some hosts through, and waits until it has a token.
func startPassing(t *testing.T, hosts string, environ ...string) (*brokertest.Broker, *fakeetrusted.Server) {
	t.Helper()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), append(environ, "BROKER_PASS_HOSTS="+hosts)...))
	b.WaitReady()
	return b, eTrusted
}

// counters returns the counters of a metric that are not 0, by their label.
func counters(t *testing.T, b *brokertest.Broker, metric, label string) map[string]string {
	t.Helper()
	b.WaitRecorded()
	found := map[string]string{}
	series := regexp.MustCompile(`(?m)^etrusted_broker_` + metric + `{` + label + `="(\w+)"} ([1-9]\d*)$`)
	for _, match := range series.FindAllStringSubmatch(brokertest.Get(t, b.Admin+"/metrics").Body, -1) {
		found[match[1]] = match[2]
	}
	return found
}

// An app that uses the broker as its proxy reaches another host over HTTPS, and speaks TLS with that host itself.
func TestPassesTunnelThroughUnopened(t *testing.T) {
	t.Parallel()
	other := &otherHost{}
	server := httptest.NewTLSServer(other)
	t.Cleanup(server.Close)
	b, eTrusted := startPassing(t, "127.0.0.1", "BROKER_ACCESS_KEY="+canaryKey, "BROKER_ACCESS_LOG=true")
	before := eTrusted.APIRequestCount()
	app := throughProxy(t, strings.Replace(b.URL, "http://", "http://app:"+canaryKey+"@", 1), server.Client().Transport.(*http.Transport))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/x?y", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer app")
	request.Header.Set("X-Forwarded-For", "192.0.2.1")
	response, err := app.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if want := "POST /x?y body"; response.StatusCode != 200 || string(body) != want || response.TLS.PeerCertificates[0].Subject.Organization[0] != "Acme Co" {
		t.Errorf("got %d %q, want 200 %q with the host's own certificate", response.StatusCode, body, want)
	}
	got := other.last(t).Header
	if got.Get("Authorization") != "Bearer app" || got.Get("X-Forwarded-For") != "192.0.2.1" || got.Get("Via") != "" || got.Get("Proxy-Authorization") != "" {
		t.Errorf("the host got %v, want exactly what the app has sent", got)
	}
	if n := eTrusted.APIRequestCount() - before; n != 0 {
		t.Errorf("got %d requests at the API, want 0", n)
	}
	checkNoHost(t, b, strings.TrimPrefix(server.URL, "https://"), map[string]string{"success": "1"})
}

// checkNoHost checks that the log and the metrics contain outcomes, but not a host and its paths.
func checkNoHost(t *testing.T, b *brokertest.Broker, address string, outcomes map[string]string) {
	t.Helper()
	if got := counters(t, b, "requests_passed_total", "outcome"); fmt.Sprint(got) != fmt.Sprint(outcomes) {
		t.Errorf("got the outcomes %v, want %v", got, outcomes)
	}
	lines := b.Logs.Lines("request")
	if len(lines) == 0 || lines[0]["passed"] != "success" || lines[0]["path"] != "" || lines[0]["account"] != "" {
		t.Errorf("got the log lines %v, want one with passed=success and without a path and an account", lines)
	}
	for what, text := range map[string]string{"log": fmt.Sprint(lines), "metrics": brokertest.Get(t, b.Admin+"/metrics").Body, "status": brokertest.Get(t, b.Admin+"/status.json").Body} {
		if strings.Contains(text, address) || strings.Contains(text, "CANARY") {
			t.Errorf("the %s names the host, or contains the key:\n%s", what, text)
		}
		if what == "metrics" && strings.Contains(text, `requests_total{account="-"`) {
			t.Errorf("the request is among those for the API:\n%s", text)
		}
	}
}

// An absolute-form request keeps the app's own credentials, and gets no token.
func TestPassesRequestThroughWithoutToken(t *testing.T) {
	t.Parallel()
	other := &otherHost{}
	address := strings.TrimPrefix(brokertest.Serve(t, other), "http://")
	b, eTrusted := startPassing(t, "127.0.0.1", "BROKER_ACCESS_KEY="+canaryKey, "BROKER_ACCESS_LOG=true", "BROKER_ALLOW=GET /channels")
	key := "Proxy-Authorization: " + basicAuth("app", canaryKey)
	for _, test := range []struct{ request, want string }{
		{"GET http://" + address + "/x/../y?z HTTP/1.1\r\nHost: a\r\n" + brokertest.HeaderLines(key, "Authorization: Bearer app", "X-Forwarded-For: 192.0.2.1", "Connection: X-Hop", "X-Hop: 1", "X-App: 2") + "\r\n", "GET /x/../y?z "},
		{"POST http://" + address + "/oauth/token HTTP/1.1\r\nHost: a\r\n" + key + "\r\nAuthorization: Bearer app\r\nContent-Length: 4\r\n\r\nbody", "POST /oauth/token body"},
		{"PUT http://" + address + " HTTP/1.1\r\nHost: a\r\n" + key + "\r\nAuthorization: Bearer app\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "PUT / body"},
		{"GET http://" + address + "/@shop/x HTTP/1.1\r\nHost: a\r\n" + key + "\r\nAuthorization: Bearer app\r\n\r\n", "GET /@shop/x "},
	} {
		got := b.Dial(t).RoundTrip(test.request)
		if got.Status != 200 || got.Body != test.want || got.Header["Proxy-Status"] != nil || got.Header.Get("Link") != "<http://api.example/x>" {
			t.Errorf("%.40q: got %d %q %v, want 200 %q as the host has sent it", test.request, got.Status, got.Body, got.Header, test.want)
		}
		received := other.last(t)
		want := http.Header{"Authorization": {"Bearer app"}, "Via": {"1.1 etrusted-broker"}, "Connection": {"close"}}
		for name, values := range want {
			if !slices.Equal(received.Header[name], values) {
				t.Errorf("%.40q: the host got %s: %q, want %q", test.request, name, received.Header[name], values)
			}
		}
		for _, name := range []string{"Proxy-Authorization", "X-Forwarded-For", "X-Hop", "X-Request-Id"} {
			if received.Header[name] != nil {
				t.Errorf("%.40q: the host got %s: %q, want none", test.request, name, received.Header[name])
			}
		}
		if received.Host != address {
			t.Errorf("%.40q: the host got the Host %q, want %q", test.request, received.Host, address)
		}
	}
	for _, token := range eTrusted.Tokens() {
		if strings.Contains(fmt.Sprint(other.requests), token) {
			t.Error("the host got a token")
		}
	}
	checkNoHost(t, b, address, map[string]string{"success": "4"})
}

// The key for other hosts is only in Proxy-Authorization, and comes before the host.
func TestPassingRequiresProxyKey(t *testing.T) {
	t.Parallel()
	other := &otherHost{}
	address := strings.TrimPrefix(brokertest.Serve(t, other), "http://")
	b, _ := startPassing(t, "127.0.0.1", "BROKER_ACCESS_KEY="+canaryKey)
	right := "Proxy-Authorization: Bearer " + canaryKey + "\r\n"
	for _, header := range []string{"", "Authorization: Bearer " + canaryKey + "\r\n", "Proxy-Authorization: Bearer wrong\r\n", right + right} {
		for _, request := range []string{
			"CONNECT " + address + " HTTP/1.1\r\nHost: a\r\n", "GET http://" + address + "/x HTTP/1.1\r\nHost: a\r\n",
			"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: a\r\n", "GET http://elsewhere.example/x HTTP/1.1\r\nHost: a\r\n",
		} {
			if got := b.Dial(t).RoundTrip(request + header + "\r\n"); got.Status != http.StatusProxyAuthRequired || got.Header.Get("Proxy-Authenticate") == "" {
				t.Errorf("%q: got %d, want 407 with Proxy-Authenticate", request+header, got.Status)
			}
			if got := b.Dial(t).RoundTrip(request + header + "Origin: null\r\n\r\n"); got.Status != http.StatusForbidden {
				t.Errorf("%q from a page: got %d, want 403", request+header, got.Status)
			}
		}
	}
	if len(other.requests) > 0 {
		t.Errorf("the host got %v, want nothing", other.requests)
	}
}

// What is not in the list is refused, and the refusal names the variable.
func TestRefusesHostsThatDoNotPass(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hosts, ca, request string
		status             int
		names              bool
	}{
		{"", "", "CONNECT other.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405, true},
		{"", t.TempDir(), "CONNECT other.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"", "", "GET http://other.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"*.example.com", "", "CONNECT other.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"*.example.com", "", "CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"*.example.com", "", "CONNECT a.example.com:22 HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"*.example.com", "", "GET http://a.example.com:8080/ HTTP/1.1\r\nHost: a\r\n\r\n", 403, true},
		{"*", "", "GET http://user@a.example.com/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, false},
		{"*", "", "TRACE http://a.example.com/ HTTP/1.1\r\nHost: a\r\n\r\n", 405, true},
		{"*", "", "GET http://a.example.com/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 etrusted-broker\r\n\r\n", 508, false},
		{"*", "", "CONNECT a.example.com:443 HTTP/1.1\r\nHost: a\r\nVia: 1.1 etrusted-broker\r\n\r\n", 508, false},
	} {
		b := startBroker(t, nil, brokertest.EnvironWithoutServers("BROKER_PASS_HOSTS="+test.hosts, "BROKER_INTERCEPT_CA_DIR="+test.ca))
		got := b.Dial(t).RoundTrip(test.request)
		if got.Status != test.status || strings.Contains(got.Body, "BROKER_PASS_HOSTS") != test.names {
			t.Errorf("%q, %q: got %d %s, want %d, with the variable: %t", test.hosts, test.request, got.Status, got.Body, test.status, test.names)
		}
		b.Stop()
	}
}

// The API and the login server never pass through, even if they are named.
func TestServersOfETrustedNeverPass(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	url := brokertest.Serve(t, eTrusted)
	address := strings.TrimPrefix(url, "http://")
	b := startBroker(t, nil, brokertest.Environ(url, "BROKER_PASS_HOSTS=*,"+address))
	b.WaitReady()
	if got := b.Dial(t).RoundTrip("CONNECT " + address + " HTTP/1.1\r\nHost: a\r\n\r\n"); got.Status != 403 || !strings.Contains(got.Body, "BROKER_INTERCEPT_CA_DIR") {
		t.Errorf("got %d %s, want 403 with the variable for tunnels to the API", got.Status, got.Body)
	}
	if got := b.Dial(t).RoundTrip("GET " + url + "/channels HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer app\r\n\r\n"); got.Status != 200 || !strings.Contains(got.Body, "chl-") {
		t.Errorf("got %d %s, want 200 with the token of the broker", got.Status, got.Body)
	}
	if got := counters(t, b, "requests_passed_total", "outcome"); len(got) > 0 {
		t.Errorf("got the outcomes %v, want none", got)
	}
}

// Whatever a wildcard matches, the broker reaches neither its own machine nor a metadata service for an app. A name is checked
// when it has been resolved.
func TestRefusesAddressesOfThisMachineAndOfClouds(t *testing.T) {
	t.Parallel()
	reached := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(reached.Addr().String())
	b, _ := startPassing(t, "*,*:"+port+",localhost,169.254.169.253")
	hosts := []string{
		"localhost", "LOCALHOST.", "127.0.0.1", "127.0.0.1.", "127.255.255.254", "0.0.0.0", "0.1.2.3",
		"169.254.169.254", "169.254.0.1", "224.0.0.1", "239.1.2.3", "255.255.255.255",
		"100.100.100.200", "168.63.129.16", "192.0.0.192",
		"[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[febf::1]", "[ff02::1]", "[fd00:ec2::254]", "[fd20:ce::254]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::169.254.169.254]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
	}
	for _, host := range hosts {
		for _, request := range []string{"CONNECT " + host + ":" + port, "GET http://" + host + ":" + port + "/", "GET https://" + host + ":" + port + "/"} {
			got := b.Dial(t).RoundTrip(request + " HTTP/1.1\r\nHost: a\r\n\r\n")
			if strings.HasPrefix(request, "GET") && isOwnHost(host) {
				continue // it is a request for the API
			}
			if got.Status != 403 || !strings.HasPrefix(got.Header.Get("Proxy-Status"), "etrusted-broker; error=destination_ip_prohibited") || !strings.Contains(got.Body, "BROKER_PASS_HOSTS") {
				t.Errorf("%s: got %d %v %s, want 403 and destination_ip_prohibited", request, got.Status, got.Header, got.Body)
			}
		}
	}
	// Other spellings of these addresses are no host names.
	for _, host := range []string{"127.1", "0x7f000001", "0x7f.1", "2130706433", "0177.0.0.1", "127.0.0.0x1", "2852039166", "0xa9fea9fe"} {
		if got := b.Dial(t).RoundTrip("CONNECT " + host + ":" + port + " HTTP/1.1\r\nHost: a\r\n\r\n"); got.Status != 403 {
			t.Errorf("CONNECT %s: got %d, want 403", host, got.Status)
		}
	}
}

// isOwnHost reports whether a host is one by which an app may address the broker itself.
func isOwnHost(host string) bool {
	return strings.HasPrefix(strings.ToLower(host), "localhost") || strings.HasPrefix(host, "127.") || host == "[::1]" || host == "[0:0:0:0:0:0:0:1]"
}

// The broker never connects to its own listeners, even if their address is named.
func TestNeverPassesThroughToItself(t *testing.T) {
	t.Parallel()
	b, _ := startPassing(t, "127.0.0.1,*")
	for _, url := range []string{b.URL, b.Admin} {
		address := strings.TrimPrefix(url, "http://")
		_, port, _ := net.SplitHostPort(address)
		for _, request := range []string{"CONNECT " + address, "GET " + url + "/metrics", "CONNECT [::ffff:127.0.0.1]:" + port} {
			if got := b.Dial(t).RoundTrip(request + " HTTP/1.1\r\nHost: a\r\n\r\n"); got.Status != 403 {
				t.Errorf("%s: got %d %s, want 403", request, got.Status, got.Body)
			}
		}
	}
}

// A host that cannot be reached is no failure of the API.
func TestCountsUnreachableHosts(t *testing.T) {
	t.Parallel()
	b, _ := startPassing(t, "127.0.0.1")
	l := brokertest.Listen(t, "tcp", "127.0.0.1:0") // after the broker, which must not get the port
	_ = l.Close()
	for _, request := range []string{"CONNECT " + l.Addr().String(), "GET http://" + l.Addr().String() + "/"} {
		got := b.Dial(t).RoundTrip(request + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if got.Status != 502 || !strings.Contains(got.Body, "The host refused the connection") || strings.Contains(got.Body, "127.0.0.1") {
			t.Errorf("%s: got %d %s, want 502 with the cause", request, got.Status, got.Body)
		}
	}
	if got := counters(t, b, "requests_passed_total", "outcome"); got["failed"] != "2" {
		t.Errorf("got the outcomes %v, want failed twice", got)
	}
	if text := brokertest.Get(t, b.Admin+"/metrics").Body; strings.Contains(text, `code="502"`) {
		t.Errorf("the failures are among the requests for the API:\n%s", text)
	}
}

// Some clients, such as Node's undici, use CONNECT for http URLs too. The links in a response are then http URLs.
func TestServesPlainHTTPInTunnelToAPI(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	target := strings.TrimPrefix(i.api, "https://")
	c := i.Dial(t)
	if got := c.Connect(target); got.Status != http.StatusOK {
		t.Fatalf("CONNECT: got status %d, want 200", got.Status)
	}
	for _, test := range []struct {
		request string
		status  int
		body    string
	}{
		{"GET /reviews?count=3 HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 200, `"next":"http://` + target + `/reviews?`},
		{"POST /oauth/token HTTP/1.1\r\nHost: " + target + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials", 200, `"placeholder"`},
		{"GET /reviews HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 421, ""},
	} {
		c.Send(test.request)
		if got := c.Next("GET"); got.Status != test.status || !strings.Contains(got.Body, test.body) {
			t.Errorf("%q: got %d %s, want %d with %q", test.request, got.Status, got.Body, test.status, test.body)
		}
	}
}

// Behind a proxy, other hosts are reached through it, and only literal addresses can be checked.
func TestPassesThroughForwardProxy(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(&otherHost{})
	t.Cleanup(server.Close)
	tunnels := &connectProxy{upstream: server.Listener.Addr().String()}
	var mu sync.Mutex
	var headers []string
	proxy := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		headers = append(headers, r.Header.Get("Proxy-Authorization")+" "+r.Header.Get("Via"))
		mu.Unlock()
		if r.Method == http.MethodConnect {
			tunnels.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, r.RequestURI+" "+r.Header.Get("Authorization"))
	}))
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	through := strings.Replace(proxy, "http://", "http://corporate:password@", 1)
	p := startProcess(t, brokertest.Environ(eTrusted, "BROKER_PASS_HOSTS=*", "HTTPS_PROXY="+through, "HTTP_PROXY="+through))
	app := throughProxy(t, p.URL, server.Client().Transport.(*http.Transport))
	app.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	response, err := app.Get("https://other.example.com/x")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := tunnels.targets(); response.StatusCode != 200 || !slices.Equal(got, []string{"CONNECT other.example.com:443"}) {
		t.Errorf("got %d, tunnels %q, want 200 and one to the host", response.StatusCode, got)
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://other.example.com/x?y", nil)
	request.Header.Set("Authorization", "Bearer app")
	if response, err = app.Do(request); err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if want := "http://other.example.com:80/x?y Bearer app"; string(body) != want {
		t.Errorf("the proxy got %q, want %q", body, want)
	}
	want := basicAuth("corporate", "password") + " 1.1 etrusted-broker"
	if !slices.Equal(headers, []string{want, want}) {
		t.Errorf("the proxy got %q, want twice %q", headers, want)
	}
	for _, target := range []string{"https://169.254.169.254/", "http://169.254.169.254/", "http://[64:ff9b::169.254.169.254]/"} {
		response, err := app.Get(target)
		if err == nil {
			_ = response.Body.Close()
		}
		if len(headers) != 2 || err == nil && response.StatusCode != 403 {
			t.Errorf("%s: got %v, %v and %d requests at the proxy, want a refusal", target, response, err, len(headers)-2)
		}
	}
}
