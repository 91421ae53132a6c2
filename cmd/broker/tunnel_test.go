package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// interceptingBroker is a broker that accepts CONNECT, with what an app needs to use it.
type interceptingBroker struct {
	*brokertest.Broker
	eTrusted  *fakeetrusted.Server
	api       string // the URL that the app has hard-coded, with https
	caDir     string
	tlsConfig *tls.Config
}

// startInterceptingBroker starts a broker with its own CA, and waits until it is ready.
func startInterceptingBroker(t *testing.T, environ ...string) *interceptingBroker {
	t.Helper()
	i := &interceptingBroker{eTrusted: fakeetrusted.New(fakeetrusted.Options{}), caDir: t.TempDir()}
	upstream := brokertest.Serve(t, i.eTrusted)
	i.api = strings.Replace(upstream, "http:", "https:", 1)
	i.Broker = startBroker(t, nil, brokertest.Environ(upstream, append(environ, "BROKER_INTERCEPT_CA_DIR="+i.caDir)...))
	i.WaitReady()
	i.tlsConfig = &tls.Config{RootCAs: certPool(t, filepath.Join(i.caDir, "ca.crt")), ServerName: "127.0.0.1"}
	return i
}

// An app with hard-coded URLs needs only the proxy and the CA.
func TestUnmodifiedAppWorksThroughTunnel(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	app := throughProxy(t, i.URL, &http.Transport{TLSClientConfig: i.tlsConfig})
	before := i.eTrusted.TokenRequestCount()

	if token, _ := fetchToken(t, app, i.api+"/oauth/token", url.Values{"client_id": {"x"}, "client_secret": {"y"}}); token != "placeholder" || i.eTrusted.TokenRequestCount() != before {
		t.Errorf("got the token %q, want the placeholder token without a token request", token)
	}
	response, err := app.Get(i.api + "/reviews?count=3")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"next":"`+i.api+"/reviews?") {
		t.Errorf("got status %d, want 200 with links to the app's URL: %s", response.StatusCode, body)
	}
	if response.TLS == nil || response.TLS.NegotiatedProtocol == "h2" {
		t.Error("got no TLS or HTTP/2 in the tunnel, want HTTP/1.1 over TLS")
	}
	if code := i.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
}

func TestRefusesTunnelsToOtherHosts(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	target := strings.TrimPrefix(i.api, "https://")
	host, _, _ := net.SplitHostPort(target)
	for _, test := range []struct {
		target string
		header []string
		status int
	}{
		{target, nil, 200},
		{"elsewhere.example:443", nil, 403}, {host + ":443", nil, 403}, {host + ":1", nil, 403}, {"localhost:443", nil, 403},
		{target, []string{"Origin: null"}, 403}, {target, []string{"Sec-Fetch-Site: cross-site"}, 403},
	} {
		if got := i.Dial(t).Connect(test.target, test.header...); got.Status != test.status {
			t.Errorf("CONNECT %s %q: got status %d, %v, want %d", test.target, test.header, got.Status, got.Err, test.status)
		}
	}
	plain := startBroker(t, nil, brokertest.EnvironWithoutServers())
	if got := plain.Dial(t).Connect("127.0.0.1:1"); got.Status != http.StatusMethodNotAllowed {
		t.Errorf("without BROKER_INTERCEPT_CA_DIR: got status %d, want 405", got.Status)
	}
}

// The broker checks requests in a tunnel as it checks all others.
func TestChecksRequestsInTunnel(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t, "BROKER_ALLOW=GET /channels")
	target := strings.TrimPrefix(i.api, "https://")
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"served":                      {"GET /channels HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 200},
		"another host":                {"GET /channels HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		"another host, absolute-form": {"GET https://elsewhere.example/ HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 421},
		"web page":                    {"GET /channels HTTP/1.1\r\nHost: " + target + "\r\nOrigin: null\r\n\r\n", 403},
		"tunnel in a tunnel":          {"CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 405},
		"smuggling":                   {"GET /channels HTTP/1.1\r\nHost: " + target + "\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		"dot segments":                {"GET /channels/../reviews HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 400},
		"rules":                       {"GET /reviews HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 403},
	} {
		c := i.Dial(t)
		if got := c.Connect(target); got.Status != http.StatusOK {
			t.Fatalf("CONNECT: got status %d, %v, want 200", got.Status, got.Err)
		}
		c.StartTLS(i.tlsConfig)
		if got := c.RoundTrip(test.request); got.Status != test.status {
			t.Errorf("%s: got status %d, %v, want %d", name, got.Status, got.Err, test.status)
		}
	}
}

func TestTunnelRequiresAccessKey(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t, "BROKER_ACCESS_KEY=the-key-0815-4711")
	target := strings.TrimPrefix(i.api, "https://")
	if got := i.Dial(t).Connect(target); got.Status != http.StatusProxyAuthRequired || got.Header.Get("Proxy-Authenticate") == "" {
		t.Errorf("without the key: got status %d and the header %v, want 407 with Proxy-Authenticate", got.Status, got.Header)
	}
	app := throughProxy(t, strings.Replace(i.URL, "http://", "http://app:the-key-0815-4711@", 1), &http.Transport{TLSClientConfig: i.tlsConfig})
	if got := brokertest.ReadResponse(app.Get(i.api + "/channels")); got.Status != http.StatusOK {
		t.Errorf("with the key: got status %d, %v, want 200", got.Status, got.Err)
	}
}

// A client may send the beginning of the handshake without waiting for the response to CONNECT.
func TestAcceptsHandshakeSentWithCONNECT(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	target := strings.TrimPrefix(i.api, "https://")
	conn, err := net.Dial("tcp", strings.TrimPrefix(i.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	early := &earlyHandshakeConn{Conn: conn, connectRequest: "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"}
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Timeout)
	defer cancel()
	if err := tls.Client(early, i.tlsConfig).HandshakeContext(ctx); err != nil {
		t.Error(err)
	}
}

// earlyHandshakeConn sends connectRequest together with the first write, and skips the response to it.
type earlyHandshakeConn struct {
	net.Conn
	connectRequest string
	reader         *bufio.Reader
}

func (c *earlyHandshakeConn) Write(p []byte) (int, error) {
	first := c.connectRequest
	c.connectRequest = ""
	n, err := c.Conn.Write(append([]byte(first), p...))
	return n - len(first), err
}

func (c *earlyHandshakeConn) Read(p []byte) (int, error) {
	if c.reader == nil {
		c.reader = bufio.NewReader(c.Conn)
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = c.reader.ReadString('\n'); err != nil {
				return 0, err
			}
		}
	}
	return c.reader.Read(p)
}

// The broker accepts tunnels to the login server, and never passes their requests to the API.
func TestTunnelToLoginServerNeverReachesAPI(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	api, login := brokertest.Serve(t, eTrusted), brokertest.Serve(t, eTrusted)
	i := startBroker(t, nil, brokertest.Environ(api, "ETRUSTED_TOKEN_URL="+login+"/oauth/token", "BROKER_INTERCEPT_CA_DIR="+t.TempDir()))
	i.WaitReady()
	target := strings.TrimPrefix(login, "http://")
	c := i.Dial(t)
	if got := c.Connect(target); got.Status != http.StatusOK {
		t.Fatalf("CONNECT: got status %d, %v, want 200", got.Status, got.Err)
	}
	c.StartTLS(&tls.Config{InsecureSkipVerify: true})
	if got := c.Get("/userinfo", target); got.Status != http.StatusNotFound || eTrusted.APIRequestCount() != 0 {
		t.Errorf("got status %d, %v and %d requests at the API, want 404 and 0", got.Status, got.Err, eTrusted.APIRequestCount())
	}
}
