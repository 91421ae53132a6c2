package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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

// interceptingBroker is a broker that answers CONNECT, and what an app needs that trusts it.
type interceptingBroker struct {
	*brokertest.Broker
	eTrusted  *fakeetrusted.Server
	api       string // as the app has it hard-coded: https:
	caDir     string
	tlsConfig *tls.Config
}

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
		t.Fatal("no certificate")
	}
	i.tlsConfig = &tls.Config{RootCAs: pool}
	return i
}

// connect asks for a tunnel, and returns the answer's status.
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

// An app with everything hard-coded needs the proxy and the authority, and nothing else.
func TestUnmodifiedAppWorksThroughTunnel(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	app := throughProxy(t, i.URL, &http.Transport{TLSClientConfig: i.tlsConfig})
	asked := i.eTrusted.TokenRequestCount()

	response, err := app.PostForm(i.api+"/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"x"}, "client_secret": {"y"}})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if !strings.Contains(string(body), `"access_token":"placeholder"`) || i.eTrusted.TokenRequestCount() != asked {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	response, err = app.Get(i.api + "/reviews?count=3")
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"next":"`+i.api+"/reviews?") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	if response.TLS == nil || response.TLS.NegotiatedProtocol == "h2" {
		t.Error("HTTP/2 in a tunnel")
	}
	if code := i.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
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
			t.Errorf("CONNECT %s %q: %d, want %d", test.target, test.headers, response.StatusCode, test.status)
		}
	}
	plain := startBroker(t, nil, brokertest.EnvironWithoutServers())
	_, response := (&interceptingBroker{Broker: plain}).connect(t, "127.0.0.1:1", "")
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("without the folder: %d", response.StatusCode)
	}
}

// What comes through a tunnel is no less suspect than what comes without.
func TestChecksRequestsInTunnel(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t, "BROKER_ALLOW=GET /channels")
	target := strings.TrimPrefix(i.api, "https://")
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"served":               {"GET /channels HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 200},
		"another host":         {"GET /channels HTTP/1.1\r\nHost: localhost\r\n\r\n", 421},
		"another absolute":     {"GET https://elsewhere.example/ HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 421},
		"a page":               {"GET /channels HTTP/1.1\r\nHost: " + target + "\r\nOrigin: null\r\n\r\n", 403},
		"a tunnel in a tunnel": {"CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 405},
		"smuggling":            {"GET /channels HTTP/1.1\r\nHost: " + target + "\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		"dot segments":         {"GET /channels/../reviews HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 400},
		"rules":                {"GET /reviews HTTP/1.1\r\nHost: " + target + "\r\n\r\n", 403},
	} {
		conn, response := i.connect(t, target, "")
		if response.StatusCode != http.StatusOK {
			t.Fatal(response.Status)
		}
		config := i.tlsConfig.Clone()
		config.ServerName = "127.0.0.1"
		secure := tls.Client(conn, config)
		if _, err := io.WriteString(secure, test.request); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(secure), nil)
		if err != nil || response.StatusCode != test.status {
			t.Errorf("%s: %v %v, want %d", name, response, err, test.status)
		}
	}
}

func TestTunnelRequiresAccessKey(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t, "BROKER_ACCESS_KEY=the-key-0815-4711")
	target := strings.TrimPrefix(i.api, "https://")
	if _, response := i.connect(t, target, ""); response.StatusCode != http.StatusProxyAuthRequired || response.Header.Get("Proxy-Authenticate") == "" {
		t.Errorf("without the key: %d %v", response.StatusCode, response.Header)
	}
	app := throughProxy(t, strings.Replace(i.URL, "http://", "http://app:the-key-0815-4711@", 1), &http.Transport{TLSClientConfig: i.tlsConfig})
	response, err := app.Get(i.api + "/channels")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("with the key: %d", response.StatusCode)
	}
}

// A client may send its part of the handshake without waiting to be told that there is a tunnel.
func TestAcceptsHandshakeSentWithCONNECT(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	target := strings.TrimPrefix(i.api, "https://")
	conn, err := net.Dial("tcp", strings.TrimPrefix(i.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	hasty := &earlyHandshakeConn{Conn: conn, connectRequest: "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"}
	config := i.tlsConfig.Clone()
	config.ServerName = "127.0.0.1"
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Timeout)
	defer cancel()
	if err := tls.Client(hasty, config).HandshakeContext(ctx); err != nil {
		t.Error(err)
	}
}

// earlyHandshakeConn sends first together with what is written first, and passes over the answer to it.
type earlyHandshakeConn struct {
	net.Conn
	connectRequest string
	reader         *bufio.Reader
}

func (h *earlyHandshakeConn) Write(p []byte) (int, error) {
	first := h.connectRequest
	h.connectRequest = ""
	n, err := h.Conn.Write(append([]byte(first), p...))
	return n - len(first), err
}

func (h *earlyHandshakeConn) Read(p []byte) (int, error) {
	if h.reader == nil {
		h.reader = bufio.NewReader(h.Conn)
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = h.reader.ReadString('\n'); err != nil {
				return 0, err
			}
		}
	}
	return h.reader.Read(p)
}

func TestCAPrintsCertificateAndInstructions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code, stdout, stderr := invoke([]string{"ca"}, "BROKER_INTERCEPT_CA_DIR="+dir)
	if code != exitOK || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	block, rest := pem.Decode([]byte(stdout))
	if block == nil || block.Type != "CERTIFICATE" {
		t.Fatalf("no certificate: %s", stdout)
	}
	for _, app := range []string{"PHP", "Java", "Node", "Python", "Go", filepath.Join(dir, "ca.crt")} {
		if !strings.Contains(string(rest), app) {
			t.Errorf("nothing about %s:\n%s", app, rest)
		}
	}
	if _, again, _ := invoke([]string{"ca"}, "BROKER_INTERCEPT_CA_DIR="+dir); again != stdout {
		t.Error("the second time it is another")
	}
	for _, environ := range [][]string{nil, {"BROKER_INTERCEPT_CA_DIR=" + dir + "/nowhere"}, {"BROKER_INTERCEPT_CA_DIR=" + dir, "ETRUSTED_API_URL=https://other.example"}} {
		code, _, stderr := invoke([]string{"ca"}, environ...)
		if names := problemsIn(stderr); code != exitConfig || len(names) != 1 || names[0] != "BROKER_INTERCEPT_CA_DIR" {
			t.Errorf("%v: %d %s", environ, code, stderr)
		}
	}
}
