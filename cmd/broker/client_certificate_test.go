package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// mtlsBroker is a broker that asks its clients for a certificate.
type mtlsBroker struct {
	*brokertest.Broker
	eTrusted      *fakeetrusted.Server
	files         tlsFiles
	servers, apps *brokertest.CA
}

func startMTLSBroker(t *testing.T, environ ...string) *mtlsBroker {
	t.Helper()
	m := &mtlsBroker{
		eTrusted: fakeetrusted.New(fakeetrusted.Options{}), files: newTLSFiles(t),
		servers: brokertest.NewCA(t, "servers"), apps: brokertest.NewCA(t, "apps"),
	}
	m.files.writePair(t, m.servers, "broker", time.Hour)
	brokertest.ReplaceFile(t, m.files.clientCA, m.apps.CertificatePEM())
	m.Broker = startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, m.eTrusted), append(environ, "BROKER_ACCESS_LOG=true",
		"BROKER_TLS_CERT_FILE="+m.files.cert, "BROKER_TLS_KEY_FILE="+m.files.key, "BROKER_TLS_CLIENT_CA_FILE="+m.files.clientCA)...))
	m.WaitReady()
	return m
}

// clientConfig is how a client of the authority "apps" connects.
func (m *mtlsBroker) clientConfig(certificates []tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: brokertest.CertPool(m.servers), Certificates: certificates}
}

// replaceClientCA puts other authorities in place, and waits until the broker uses them. Each time it rotates the broker's
// own certificate too, which shows that both are in use.
func (m *mtlsBroker) replaceClientCA(t *testing.T, name string, authorities ...*brokertest.CA) {
	t.Helper()
	var bundle []byte
	for _, a := range authorities {
		bundle = append(bundle, a.CertificatePEM()...)
	}
	brokertest.ReplaceFile(t, m.files.clientCA, bundle)
	m.files.writePair(t, m.servers, name, time.Hour)
	brokertest.Eventually(t, "the broker uses the new files", func() bool {
		got, err := servedCertificate(t, m.Broker, m.clientConfig(authorities[0].ClientCertificate("probe")))
		return err == nil && got == name
	})
}

// clientConn is one connection of a client.
type clientConn struct {
	net.Conn
	reader *bufio.Reader
}

func (m *mtlsBroker) dial(t *testing.T, config *tls.Config) *clientConn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(m.URL, "http://"), config)
	if err != nil {
		t.Fatal(err)
	}
	return newClientConn(t, conn)
}

func newClientConn(t *testing.T, conn net.Conn) *clientConn {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(brokertest.Timeout)); err != nil {
		t.Fatal(err)
	}
	return &clientConn{conn, bufio.NewReader(conn)}
}

// get sends a request, and returns the whole response.
func (k *clientConn) get(t *testing.T, host string) (response *http.Response, body string) {
	t.Helper()
	if _, err := io.WriteString(k, "GET /channels HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(k.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// checkServed holds that a request over the connection reaches the API.
func (k *clientConn) checkServed(t *testing.T, host, when string) {
	t.Helper()
	if got, body := k.get(t, host); got.StatusCode != http.StatusOK || got.Close {
		t.Fatalf("%s: status %d (Connection: close is %t), want 200 (false): %s", when, got.StatusCode, got.Close, body)
	}
}

// checkRefused holds that a request over the connection is refused, and the connection closed.
func (k *clientConn) checkRefused(t *testing.T, host string) {
	t.Helper()
	got, body := k.get(t, host)
	if got.StatusCode != http.StatusForbidden || !got.Close || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, Connection: close is %t, %v, want 403, true, a problem", got.StatusCode, got.Close, got.Header)
	}
	if !strings.Contains(body, "urn:etrusted-broker:problem:refused-certificate") || !strings.Contains(body, "BROKER_TLS_CLIENT_CA_FILE") {
		t.Errorf("the problem does not say what to do: %s", body)
	}
	if _, err := k.reader.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}

func TestRefusesOpenConnectionsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	m := startMTLSBroker(t)
	others := brokertest.NewCA(t, "others")
	app := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
	app.checkServed(t, "localhost", "at first")

	m.replaceClientCA(t, "both", others, m.apps)
	app.checkServed(t, "localhost", "after another authority was added")
	other := m.dial(t, m.clientConfig(others.ClientCertificate("other")))
	other.checkServed(t, "localhost", "of the added authority")

	brokertest.ReplaceFile(t, m.files.clientCA, []byte("nothing"))
	brokertest.Eventually(t, "the broker warns of the broken file", func() bool {
		return strings.Contains(m.Logs.String(), "BROKER_TLS_CLIENT_CA_FILE: has no PEM certificate")
	})
	app.checkServed(t, "localhost", "while the file is broken")

	m.replaceClientCA(t, "others only", others)
	sent := m.eTrusted.APIRequestCount()
	app.checkRefused(t, "localhost")
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("%d requests of the removed authority reached the API, want 0", n)
	}
	other.checkServed(t, "localhost", "of the authority that stays")
	if metrics := brokertest.Get(t, m.Admin+"/metrics").Body; !strings.Contains(metrics, `requests_denied_total{reason="certificate"} 1`+"\n") {
		t.Error("the refusal is not counted once by the reason certificate")
	}
	if !strings.Contains(m.Logs.String(), `"denied":"certificate"`) {
		t.Error("the access log does not show the refusal")
	}
}

func TestRefusesTunnelsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMTLSBroker(t, "BROKER_INTERCEPT_CA_DIR="+dir)
	target := m.apiHost(t)
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(authority) {
		t.Fatal("no certificate")
	}
	tunnel := func() *clientConn {
		outer := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
		if status := outer.connect(t, target); status != http.StatusOK {
			t.Fatalf("CONNECT: status %d, want 200", status)
		}
		host, _, _ := net.SplitHostPort(target)
		return newClientConn(t, tls.Client(outer.Conn, &tls.Config{RootCAs: trusted, ServerName: host}))
	}
	used, unused := tunnel(), tunnel()
	used.checkServed(t, target, "at first")
	waiting := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
	waiting.checkServed(t, "localhost", "at first")

	m.replaceClientCA(t, "others", brokertest.NewCA(t, "others"))
	sent := m.eTrusted.APIRequestCount()
	used.checkRefused(t, target)
	unused.checkRefused(t, target)
	if status := waiting.connect(t, target); status != http.StatusForbidden {
		t.Errorf("CONNECT over an open connection: status %d, want 403", status)
	}
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("%d requests of the removed authority reached the API, want 0", n)
	}
}

// apiHost is the host of the API as the broker is configured.
func (m *mtlsBroker) apiHost(t *testing.T) string {
	t.Helper()
	lines := m.Logs.Lines("listening")
	if len(lines) != 1 {
		t.Fatalf("%d lines say where the broker listens, want 1", len(lines))
	}
	return strings.TrimPrefix(lines[0]["api"].(string), "http://")
}

func (k *clientConn) connect(t *testing.T, target string) (status int) {
	t.Helper()
	if _, err := io.WriteString(k, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(k.reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

func TestResumesNoSessionOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	m := startMTLSBroker(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		config := m.clientConfig(m.apps.ClientCertificate("app"))
		config.MaxVersion, config.ServerName = version, "localhost"
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		m.replaceClientCA(t, "before "+name, m.apps)
		for range 2 {
			conn := m.dial(t, config)
			conn.checkServed(t, "localhost", name)
			if conn.Conn.(*tls.Conn).ConnectionState().DidResume {
				t.Errorf("%s: the session is resumed", name)
			}
		}
		m.replaceClientCA(t, "after "+name, brokertest.NewCA(t, "others"))
		sent := m.eTrusted.APIRequestCount()
		if _, err := servedCertificate(t, m.Broker, config); err == nil {
			t.Errorf("%s: a client of the removed authority is served", name)
		}
		if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
			t.Errorf("%s: %d requests reached the API, want 0", name, n)
		}
	}
}

// A client that renews its certificate in time never gets a refusal: the broker closes the connection in good time.
// idleTimeoutOfApps is how long the broker keeps an idle connection of an app, as documented.
const appIdleTimeout = 2 * time.Minute

func TestClosesConnectionsBeforeTheClientCertificateExpires(t *testing.T) {
	t.Parallel()
	m := startMTLSBroker(t)
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		closes   bool
	}{
		{"expires within the idle timeout", appIdleTimeout - time.Second, true},
		{"expires later", appIdleTimeout + time.Hour/2, false},
	} {
		cert, key := m.apps.Issue("app", test.lifetime)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		got, body := m.dial(t, m.clientConfig([]tls.Certificate{pair})).get(t, "localhost")
		if got.StatusCode != http.StatusOK || got.Close != test.closes {
			t.Errorf("%s: status %d, Connection: close is %t, want 200, %t: %s", test.name, got.StatusCode, got.Close, test.closes, body)
		}
	}
}
