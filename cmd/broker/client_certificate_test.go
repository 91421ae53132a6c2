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

// mtlsBroker is a broker that requires client certificates of the CA apps.
type mtlsBroker struct {
	*brokertest.Broker
	eTrusted      *fakeetrusted.Server
	files         tlsFiles
	servers, apps *brokertest.CA
}

// startMTLSBroker starts a broker that logs requests, and waits until it is ready.
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

// clientConfig returns the configuration of a client with these certificates.
func (m *mtlsBroker) clientConfig(certificates []tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: brokertest.CertPool(m.servers), Certificates: certificates}
}

// replaceClientCA replaces the client CAs, and waits until the broker uses them: it replaces the broker's certificate too,
// whose new name shows that.
func (m *mtlsBroker) replaceClientCA(t *testing.T, name string, cas ...*brokertest.CA) {
	t.Helper()
	var bundle []byte
	for _, ca := range cas {
		bundle = append(bundle, ca.CertificatePEM()...)
	}
	brokertest.ReplaceFile(t, m.files.clientCA, bundle)
	m.files.writePair(t, m.servers, name, time.Hour)
	brokertest.Eventually(t, "the broker uses the new files", func() bool {
		got, err := servedCertificate(t, m.Broker, m.clientConfig(cas[0].ClientCertificate("probe")))
		return err == nil && got == name
	})
}

// clientConn is a persistent connection of a client.
type clientConn struct {
	net.Conn
	reader *bufio.Reader
}

// dial opens a connection to the broker.
func (m *mtlsBroker) dial(t *testing.T, config *tls.Config) *clientConn {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(m.URL, "http://"), config)
	if err != nil {
		t.Fatal(err)
	}
	return newClientConn(t, conn)
}

// newClientConn takes over conn, which ends with the test.
func newClientConn(t *testing.T, conn net.Conn) *clientConn {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(brokertest.Timeout)); err != nil {
		t.Fatal(err)
	}
	return &clientConn{conn, bufio.NewReader(conn)}
}

// get sends a GET request, and returns the response and its body.
func (c *clientConn) get(t *testing.T, host string) (response *http.Response, body string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET /channels HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

// checkServed reports a request that is not served, or after which the broker closes the connection.
func (c *clientConn) checkServed(t *testing.T, host, when string) {
	t.Helper()
	if got, body := c.get(t, host); got.StatusCode != http.StatusOK || got.Close {
		t.Fatalf("%s: got status %d with close %t, want 200 with false: %s", when, got.StatusCode, got.Close, body)
	}
}

// checkRefused reports a request that is not refused for its certificate, or after which the connection stays open.
func (c *clientConn) checkRefused(t *testing.T, host string) {
	t.Helper()
	got, body := c.get(t, host)
	if got.StatusCode != http.StatusForbidden || !got.Close || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got status %d with close %t and the header %v, want 403 with true and a problem", got.StatusCode, got.Close, got.Header)
	}
	if !strings.Contains(body, "urn:etrusted-broker:problem:client-certificate-untrusted") || !strings.Contains(body, "BROKER_TLS_CLIENT_CA_FILE") {
		t.Errorf("got the problem %s, want client-certificate-untrusted and the variable to check", body)
	}
	if _, err := c.reader.ReadByte(); err == nil {
		t.Error("got an open connection, want it closed")
	}
}

func TestRefusesOpenConnectionsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	m := startMTLSBroker(t)
	others := brokertest.NewCA(t, "others")
	app := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
	app.checkServed(t, "localhost", "with the first CA")

	m.replaceClientCA(t, "both", others, m.apps)
	app.checkServed(t, "localhost", "after a CA was added")
	other := m.dial(t, m.clientConfig(others.ClientCertificate("other")))
	other.checkServed(t, "localhost", "of the added CA")

	brokertest.ReplaceFile(t, m.files.clientCA, []byte("nothing"))
	brokertest.Eventually(t, "the broker warns of the invalid file", func() bool {
		return strings.Contains(m.Logs.String(), "BROKER_TLS_CLIENT_CA_FILE: contains no PEM certificate")
	})
	app.checkServed(t, "localhost", "while the file is invalid")

	m.replaceClientCA(t, "others only", others)
	sent := m.eTrusted.APIRequestCount()
	app.checkRefused(t, "localhost")
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("got %d requests of the removed CA at the API, want 0", n)
	}
	other.checkServed(t, "localhost", "of the remaining CA")
	if metrics := brokertest.Get(t, m.Admin+"/metrics").Body; !strings.Contains(metrics, `requests_denied_total{reason="certificate"} 1`+"\n") {
		t.Error("got another count of refusals for the reason certificate, want 1")
	}
	if !strings.Contains(m.Logs.String(), `"denied":"certificate"`) {
		t.Error("got no refusal in the access log, want one")
	}
}

func TestRefusesTunnelsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMTLSBroker(t, "BROKER_INTERCEPT_CA_DIR="+dir)
	target := m.apiHost(t)
	caPEM, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(caPEM) {
		t.Fatal("ca.crt has no certificate")
	}
	tunnel := func() *clientConn {
		outer := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
		if status := outer.connect(t, target); status != http.StatusOK {
			t.Fatalf("CONNECT: got status %d, want 200", status)
		}
		host, _, _ := net.SplitHostPort(target)
		return newClientConn(t, tls.Client(outer.Conn, &tls.Config{RootCAs: trusted, ServerName: host}))
	}
	used, unused := tunnel(), tunnel()
	used.checkServed(t, target, "with the first CA")
	waiting := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
	waiting.checkServed(t, "localhost", "with the first CA")

	m.replaceClientCA(t, "others", brokertest.NewCA(t, "others"))
	sent := m.eTrusted.APIRequestCount()
	used.checkRefused(t, target)
	unused.checkRefused(t, target)
	if status := waiting.connect(t, target); status != http.StatusForbidden {
		t.Errorf("CONNECT over an open connection: got status %d, want 403", status)
	}
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("got %d requests of the removed CA at the API, want 0", n)
	}
}

// apiHost returns HOST:PORT of the configured API.
func (m *mtlsBroker) apiHost(t *testing.T) string {
	t.Helper()
	lines := m.Logs.Lines("listening")
	if len(lines) != 1 {
		t.Fatalf("got %d listening lines, want 1", len(lines))
	}
	return strings.TrimPrefix(lines[0]["api"].(string), "http://")
}

// connect sends CONNECT, and returns the status.
func (c *clientConn) connect(t *testing.T, target string) (status int) {
	t.Helper()
	if _, err := io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: http.MethodConnect})
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
				t.Errorf("%s: got a resumed session, want a new one", name)
			}
		}
		m.replaceClientCA(t, "after "+name, brokertest.NewCA(t, "others"))
		sent := m.eTrusted.APIRequestCount()
		if _, err := servedCertificate(t, m.Broker, config); err == nil {
			t.Errorf("%s: got no error with a certificate of the removed CA, want one", name)
		}
		if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
			t.Errorf("%s: got %d requests at the API, want 0", name, n)
		}
	}
}

// appIdleTimeout is how long the broker keeps an idle connection of an app, as documented.
const appIdleTimeout = 2 * time.Minute

// The broker closes a connection before its certificate can expire, so a client that renews its certificate in time is never
// refused.
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
			t.Errorf("%s: got status %d with close %t, want 200 with %t: %s", test.name, got.StatusCode, got.Close, test.closes, body)
		}
	}
}
