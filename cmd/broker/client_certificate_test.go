package main

import (
	"crypto/tls"
	"net"
	"net/http"
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
	return &tls.Config{RootCAs: brokertest.CertPool(m.servers), Certificates: certificates, ServerName: "localhost"}
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

// dial opens a connection to the broker.
func (m *mtlsBroker) dial(t *testing.T, config *tls.Config) *brokertest.RawConn {
	t.Helper()
	c := m.Dial(t)
	c.StartTLS(config)
	return c
}

// checkServed reports a request that is not served, or after which the broker closes the connection.
func checkServed(t *testing.T, c *brokertest.RawConn, host, when string) {
	t.Helper()
	if got := c.Get("/channels", host); got.Status != http.StatusOK || got.Close {
		t.Fatalf("%s: got status %d with close %t, %v, want 200 with false: %s", when, got.Status, got.Close, got.Err, got.Body)
	}
}

// checkRefused reports a request that is not refused for its certificate, or after which the connection stays open.
func checkRefused(t *testing.T, c *brokertest.RawConn, host string) {
	t.Helper()
	got := c.Get("/channels", host)
	if got.Status != http.StatusForbidden || !got.Close || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got status %d with close %t and the header %v, %v, want 403 with a problem, and the connection closed", got.Status, got.Close, got.Header, got.Err)
	}
	if !strings.Contains(got.Body, "urn:etrusted-broker:problem:client-certificate-untrusted") || !strings.Contains(got.Body, "BROKER_TLS_CLIENT_CA_FILE") {
		t.Errorf("got the problem %s, want client-certificate-untrusted and the variable to check", got.Body)
	}
	if _, err := c.Reader.ReadByte(); err == nil {
		t.Error("got an open connection, want it closed")
	}
}

func TestRefusesOpenConnectionsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	m := startMTLSBroker(t)
	others := brokertest.NewCA(t, "others")
	app := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
	checkServed(t, app, "localhost", "with the first CA")

	m.replaceClientCA(t, "both", others, m.apps)
	checkServed(t, app, "localhost", "after a CA was added")
	other := m.dial(t, m.clientConfig(others.ClientCertificate("other")))
	checkServed(t, other, "localhost", "of the added CA")

	brokertest.ReplaceFile(t, m.files.clientCA, []byte("nothing"))
	brokertest.Eventually(t, "the broker warns of the invalid file", func() bool {
		return strings.Contains(m.Logs.String(), "BROKER_TLS_CLIENT_CA_FILE: contains no PEM certificate")
	})
	checkServed(t, app, "localhost", "while the file is invalid")

	m.replaceClientCA(t, "others only", others)
	sent := m.eTrusted.APIRequestCount()
	checkRefused(t, app, "localhost")
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("got %d requests of the removed CA at the API, want 0", n)
	}
	checkServed(t, other, "localhost", "of the remaining CA")
	m.WaitRecorded()
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
	target := strings.TrimPrefix(m.Logs.Lines("listening")[0]["api"].(string), "http://")
	trusted := certPool(t, filepath.Join(dir, "ca.crt"))
	tunnel := func() *brokertest.RawConn {
		c := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
		if got := c.Connect(target); got.Status != http.StatusOK {
			t.Fatalf("CONNECT: got status %d, %v, want 200", got.Status, got.Err)
		}
		host, _, _ := net.SplitHostPort(target)
		c.StartTLS(&tls.Config{RootCAs: trusted, ServerName: host})
		return c
	}
	used, unused := tunnel(), tunnel()
	checkServed(t, used, target, "with the first CA")
	waiting := m.dial(t, m.clientConfig(m.apps.ClientCertificate("app")))
	checkServed(t, waiting, "localhost", "with the first CA")

	m.replaceClientCA(t, "others", brokertest.NewCA(t, "others"))
	sent := m.eTrusted.APIRequestCount()
	checkRefused(t, used, target)
	checkRefused(t, unused, target)
	if got := waiting.Connect(target); got.Status != http.StatusForbidden {
		t.Errorf("CONNECT over an open connection: got status %d, want 403", got.Status)
	}
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("got %d requests of the removed CA at the API, want 0", n)
	}
}

func TestResumesNoSessionOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	m := startMTLSBroker(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		config := m.clientConfig(m.apps.ClientCertificate("app"))
		config.MaxVersion = version
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		m.replaceClientCA(t, "before "+name, m.apps)
		for range 2 {
			conn := m.dial(t, config)
			checkServed(t, conn, "localhost", name)
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
		got := m.dial(t, m.clientConfig([]tls.Certificate{pair})).Get("/channels", "localhost")
		if got.Status != http.StatusOK || got.Close != test.closes {
			t.Errorf("%s: got status %d with close %t, %v, want 200 with %t: %s", test.name, got.Status, got.Close, got.Err, test.closes, got.Body)
		}
	}
}
