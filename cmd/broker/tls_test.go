package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
)

// tlsFiles are the paths of the files that a broker is configured with.
type tlsFiles struct{ cert, key, clientCA string }

// newTLSFiles returns paths in a new directory. The files do not exist yet.
func newTLSFiles(t *testing.T) tlsFiles {
	dir := t.TempDir()
	return tlsFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
}

// writePair replaces certificate and key by new ones of a CA.
func (f tlsFiles) writePair(t *testing.T, ca *brokertest.CA, name string, lifetime time.Duration) {
	t.Helper()
	cert, key := ca.Issue(name, lifetime)
	brokertest.ReplaceFile(t, f.key, key)
	brokertest.ReplaceFile(t, f.cert, cert)
}

// certPool returns a pool of the certificates in a file.
func certPool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s has no certificate", path)
	}
	return pool
}

// servedCertificate sends a request over a new connection, and returns the common name of the broker's certificate.
func servedCertificate(t *testing.T, b *brokertest.Broker, clientConfig *tls.Config) (name string, err error) {
	t.Helper()
	c := b.Dial(t)
	defer func() { _ = c.Close() }()
	c.StartTLS(clientConfig)
	got := c.Get("/channels", "localhost")
	if got.Err != nil {
		return "", got.Err // with TLS 1.3, a client learns only here that its certificate is refused
	}
	if got.Status != http.StatusOK {
		t.Errorf("got status %d, want 200", got.Status)
	}
	return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestReloadsTLSFiles(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t, "servers")
	files := newTLSFiles(t)
	files.writePair(t, ca, "first", time.Hour)
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	b.WaitReady()
	clientConfig := &tls.Config{RootCAs: brokertest.CertPool(ca), ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}}
	if name, err := servedCertificate(t, b, clientConfig); name != "first" || err != nil {
		t.Fatalf("got the certificate %q, %v, want first", name, err)
	}
	if len(b.Logs.Lines("the TLS certificate expires soon, or has expired: renew it")) != 1 {
		t.Error("got no warning an hour before the certificate expires, want one")
	}

	files.writePair(t, ca, "second", time.Hour)
	brokertest.Eventually(t, "the broker uses the new certificate", func() bool { name, err := servedCertificate(t, b, clientConfig); return err == nil && name == "second" })

	// With an invalid file, the broker keeps the last pair and warns.
	other, _ := ca.Issue("third", time.Hour)
	for _, invalid := range [][]byte{[]byte("no certificate"), nil, other} {
		brokertest.ReplaceFile(t, files.cert, invalid)
	}
	brokertest.Eventually(t, "the broker warns of the invalid file", func() bool { return strings.Contains(b.Logs.String(), "keeping the old ones") })
	if name, err := servedCertificate(t, b, clientConfig); name != "second" || err != nil {
		t.Errorf("got the certificate %q, %v, want second", name, err)
	}
	files.writePair(t, ca, "fourth", 30*24*time.Hour)
	brokertest.Eventually(t, "the broker uses the valid file", func() bool { name, err := servedCertificate(t, b, clientConfig); return err == nil && name == "fourth" })
}

// Without HTTP/2, none of its attacks is possible. TLS must be 1.2 or newer.
func TestSpeaksOnlyHTTP1OverTLS12OrNewer(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t, "servers")
	files := newTLSFiles(t)
	files.writePair(t, ca, "broker", time.Hour)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	addr := strings.TrimPrefix(b.URL, "http://")

	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: brokertest.CertPool(ca), ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("got the protocol %q, want http/1.1", got)
	}
	_ = conn.Close()
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: brokertest.CertPool(ca), NextProtos: []string{"h2"}}); err == nil {
		t.Error("got a connection with HTTP/2, want an error")
		_ = conn.Close()
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: brokertest.CertPool(ca), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("got a connection with TLS 1.1, want an error")
		_ = conn.Close()
	}
	if got := brokertest.Do(http.NewRequest(http.MethodGet, b.URL+"/channels", nil)); got.Err == nil && got.Status < 400 {
		t.Errorf("without TLS: got status %d, want an error", got.Status)
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("got %d requests at the API, want 0", n)
	}
}

func TestRequiresClientCertificate(t *testing.T) {
	t.Parallel()
	servers, apps, others := brokertest.NewCA(t, "servers"), brokertest.NewCA(t, "apps"), brokertest.NewCA(t, "others")
	files := newTLSFiles(t)
	files.writePair(t, servers, "broker", time.Hour)
	brokertest.ReplaceFile(t, files.clientCA, apps.CertificatePEM())
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_LISTEN=0.0.0.0:0",
		"BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key, "BROKER_TLS_CLIENT_CA_FILE="+files.clientCA))
	b.WaitReady()
	connect := func(certificates []tls.Certificate) error {
		_, err := servedCertificate(t, b, &tls.Config{RootCAs: brokertest.CertPool(servers), Certificates: certificates, ServerName: "localhost"})
		return err
	}
	if err := connect(apps.ClientCertificate("app")); err != nil {
		t.Errorf("with a certificate of the CA apps: got %v, want no error", err)
	}
	served := eTrusted.APIRequestCount()
	for name, certificates := range map[string][]tls.Certificate{"none": nil, "of another CA": others.ClientCertificate("app"), "of the servers' CA": servers.ClientCertificate("app")} {
		if connect(certificates) == nil {
			t.Errorf("with a certificate %s: got no error, want one", name)
		}
	}
	if n := eTrusted.APIRequestCount(); n != served {
		t.Errorf("got %d requests at the API, want 0", n-served)
	}
	if got := brokertest.Get(t, b.Admin+"/metrics"); !strings.Contains(got.Body, "\netrusted_broker_unsafe_listen 0\n") {
		t.Error("got unsafe_listen 1 with client certificates, want 0")
	}

	brokertest.ReplaceFile(t, files.clientCA, others.CertificatePEM())
	brokertest.Eventually(t, "the broker trusts the new CA", func() bool { return connect(others.ClientCertificate("app")) == nil })
	if connect(apps.ClientCertificate("app")) == nil {
		t.Error("with a certificate of the removed CA: got no error, want one")
	}
	brokertest.ReplaceFile(t, files.clientCA, []byte("nothing"))
	brokertest.Eventually(t, "the broker warns of the invalid file", func() bool {
		return strings.Contains(b.Logs.String(), "BROKER_TLS_CLIENT_CA_FILE: contains no PEM certificate")
	})
	if connect(nil) == nil || connect(others.ClientCertificate("app")) != nil {
		t.Error("got another client CA with an invalid file, want the last one")
	}
}

// A server certificate identifies the broker to the app. It does not identify the app, so it does not secure a listener.
func TestServerCertificateDoesNotSecureListener(t *testing.T) {
	t.Parallel()
	files := newTLSFiles(t)
	files.writePair(t, brokertest.NewCA(t, "servers"), "broker", time.Hour)
	_, problems := config.Load(brokertest.EnvironWithoutServers("BROKER_LISTEN=0.0.0.0:8080", "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	if len(problems) != 1 || problems[0].Variable != "BROKER_LISTEN" {
		t.Errorf("got problems %v, want one with BROKER_LISTEN", problems)
	}
}
