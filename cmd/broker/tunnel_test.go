package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// startInterceptingBroker starts a broker with a CA of its own, and waits until it is ready.
func startInterceptingBroker(t *testing.T, environ ...string) *interceptingBroker {
	t.Helper()
	i := &interceptingBroker{eTrusted: fakeetrusted.New(fakeetrusted.Options{}), caDir: t.TempDir()}
	upstream := brokertest.Serve(t, i.eTrusted)
	i.api = strings.Replace(upstream, "http:", "https:", 1)
	i.Broker = startBroker(t, nil, brokertest.Environ(upstream, append(environ, "BROKER_INTERCEPT_CA_DIR="+i.caDir)...))
	i.WaitReady()
	text, err := os.ReadFile(filepath.Join(i.caDir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("ca.crt has no certificate")
	}
	i.tlsConfig = &tls.Config{RootCAs: pool}
	return i
}

// connect sends CONNECT over a new connection, and returns that and the response.
func (i *interceptingBroker) connect(t *testing.T, target, headers string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(i.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(brokertest.Timeout)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n"+headers+"\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return conn, response
}

// An app with hard-coded URLs needs only the proxy and the CA.
func TestUnmodifiedAppWorksThroughTunnel(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	app := throughProxy(t, i.URL, &http.Transport{TLSClientConfig: i.tlsConfig})
	before := i.eTrusted.TokenRequestCount()

	response, err := app.PostForm(i.api+"/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"x"}, "client_secret": {"y"}})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if !strings.Contains(string(body), `"access_token":"placeholder"`) || i.eTrusted.TokenRequestCount() != before {
		t.Errorf("got status %d, want the placeholder token without a token request: %s", response.StatusCode, body)
	}
	response, err = app.Get(i.api + "/reviews?count=3")
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(response.Body)
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
		target, headers string
		status          int
	}{
		{target, "", 200},
		{"elsewhere.example:443", "", 403}, {host + ":443", "", 403}, {host + ":1", "", 403}, {"localhost:443", "", 403},
		{target, "Origin: null\r\n", 403}, {target, "Sec-Fetch-Site: cross-site\r\n", 403},
	} {
		if _, response := i.connect(t, test.target, test.headers); response.StatusCode != test.status {
			t.Errorf("CONNECT %s %q: got status %d, want %d", test.target, test.headers, response.StatusCode, test.status)
		}
	}
	plain := startBroker(t, nil, brokertest.EnvironWithoutServers())
	_, response := (&interceptingBroker{Broker: plain}).connect(t, "127.0.0.1:1", "")
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("without BROKER_INTERCEPT_CA_DIR: got status %d, want 405", response.StatusCode)
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
		conn, response := i.connect(t, target, "")
		if response.StatusCode != http.StatusOK {
			t.Fatal(response.Status)
		}
		clientConfig := i.tlsConfig.Clone()
		clientConfig.ServerName = "127.0.0.1"
		secure := tls.Client(conn, clientConfig)
		if _, err := io.WriteString(secure, test.request); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(secure), nil)
		if err != nil || response.StatusCode != test.status {
			t.Errorf("%s: got %v, %v, want status %d", name, response, err, test.status)
		}
	}
}

func TestTunnelRequiresAccessKey(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t, "BROKER_ACCESS_KEY=the-key-0815-4711")
	target := strings.TrimPrefix(i.api, "https://")
	if _, response := i.connect(t, target, ""); response.StatusCode != http.StatusProxyAuthRequired || response.Header.Get("Proxy-Authenticate") == "" {
		t.Errorf("without the key: got status %d and the header %v, want 407 with Proxy-Authenticate", response.StatusCode, response.Header)
	}
	app := throughProxy(t, strings.Replace(i.URL, "http://", "http://app:the-key-0815-4711@", 1), &http.Transport{TLSClientConfig: i.tlsConfig})
	response, err := app.Get(i.api + "/channels")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("with the key: got status %d, want 200", response.StatusCode)
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
	clientConfig := i.tlsConfig.Clone()
	clientConfig.ServerName = "127.0.0.1"
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Timeout)
	defer cancel()
	if err := tls.Client(early, clientConfig).HandshakeContext(ctx); err != nil {
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
	i := &interceptingBroker{eTrusted: eTrusted, caDir: t.TempDir()}
	i.Broker = startBroker(t, nil, brokertest.Environ(api, "ETRUSTED_TOKEN_URL="+login+"/oauth/token", "BROKER_INTERCEPT_CA_DIR="+i.caDir))
	i.WaitReady()
	target := strings.TrimPrefix(login, "http://")
	conn, response := i.connect(t, target, "")
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	_ = secure.SetDeadline(time.Now().Add(brokertest.Timeout))
	if _, err := io.WriteString(secure, "GET /userinfo HTTP/1.1\r\nHost: "+target+"\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(secure)
	if !strings.HasPrefix(string(text), "HTTP/1.1 404") || eTrusted.APIRequestCount() != 0 {
		t.Errorf("got %s and %d requests at the API, want 404 and 0", text, eTrusted.APIRequestCount())
	}
}
