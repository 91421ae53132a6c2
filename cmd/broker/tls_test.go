package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
)

// tlsFiles are those that a broker is configured with.
type tlsFiles struct{ cert, key, clientCA string }

func newTLSFiles(t *testing.T) tlsFiles {
	dir := t.TempDir()
	return tlsFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
}

// writePair puts a new certificate of an authority in place.
func (f tlsFiles) writePair(t *testing.T, a *brokertest.CA, name string, lifetime time.Duration) {
	t.Helper()
	cert, key := a.Issue(name, lifetime)
	brokertest.ReplaceFile(t, f.key, key)
	brokertest.ReplaceFile(t, f.cert, cert)
}

// servedCertificate makes a request over a connection of its own, and returns the name in the certificate that the broker showed.
func servedCertificate(t *testing.T, b *brokertest.Broker, config *tls.Config) (name string, err error) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(b.URL, "http://"), config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(brokertest.Timeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /channels HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err // with TLS 1.3 a client learns only now that its certificate is refused
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestReloadsTLSFiles(t *testing.T) {
	t.Parallel()
	a := brokertest.NewCA(t, "servers")
	files := newTLSFiles(t)
	files.writePair(t, a, "first", time.Hour)
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	b.WaitReady()
	trusting := &tls.Config{RootCAs: brokertest.CertPool(a), NextProtos: []string{"h2", "http/1.1"}}
	if name, err := servedCertificate(t, b, trusting); name != "first" || err != nil {
		t.Fatalf("%q, %v", name, err)
	}
	if len(b.Logs.Lines("the TLS certificate expires soon, or has expired: renew it")) != 1 {
		t.Error("an hour before its end, nobody is told")
	}

	files.writePair(t, a, "second", time.Hour)
	brokertest.Eventually(t, "the new certificate is shown", func() bool { name, err := servedCertificate(t, b, trusting); return err == nil && name == "second" })

	// What is broken leaves what there was, and is told once.
	other, _ := a.Issue("third", time.Hour)
	for _, broken := range [][]byte{[]byte("no certificate"), nil, other} {
		brokertest.ReplaceFile(t, files.cert, broken)
	}
	brokertest.Eventually(t, "the trouble is told", func() bool { return strings.Contains(b.Logs.String(), "those that there were stay in use") })
	if name, err := servedCertificate(t, b, trusting); name != "second" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	files.writePair(t, a, "fourth", 30*24*time.Hour)
	brokertest.Eventually(t, "it is mended", func() bool { name, err := servedCertificate(t, b, trusting); return err == nil && name == "fourth" })
}

// HTTP/2 is not offered, so nothing of it can be abused; and nothing but TLS 1.2 and newer is spoken.
func TestSpeaksOnlyHTTP1OverTLS12OrNewer(t *testing.T) {
	t.Parallel()
	a := brokertest.NewCA(t, "servers")
	files := newTLSFiles(t)
	files.writePair(t, a, "broker", time.Hour)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	addr := strings.TrimPrefix(b.URL, "http://")

	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: brokertest.CertPool(a), NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("negotiated %q", got)
	}
	_ = conn.Close()
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: brokertest.CertPool(a), NextProtos: []string{"h2"}}); err == nil {
		t.Error("HTTP/2 is spoken")
		_ = conn.Close()
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: brokertest.CertPool(a), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
		_ = conn.Close()
	}
	if got := brokertest.Do(http.NewRequest(http.MethodGet, b.URL+"/channels", nil)); got.Err == nil && got.Status < 400 {
		t.Errorf("plain HTTP is served: %d", got.Status)
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream", n)
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
	with := func(certificates []tls.Certificate) error {
		_, err := servedCertificate(t, b, &tls.Config{RootCAs: brokertest.CertPool(servers), Certificates: certificates})
		return err
	}
	if err := with(apps.ClientCertificate("app")); err != nil {
		t.Errorf("an app of the right authority: %v", err)
	}
	served := eTrusted.APIRequestCount()
	for name, certificates := range map[string][]tls.Certificate{"none": nil, "of another authority": others.ClientCertificate("app"), "of the servers'": servers.ClientCertificate("app")} {
		if with(certificates) == nil {
			t.Errorf("served with a certificate: %s", name)
		}
	}
	if n := eTrusted.APIRequestCount(); n != served {
		t.Errorf("%d requests went upstream", n-served)
	}
	if got := brokertest.Get(t, b.Admin+"/metrics"); !strings.Contains(got.Body, "\netrusted_broker_unsafe_listen 0\n") {
		t.Error("client certificates count as unsafe")
	}

	brokertest.ReplaceFile(t, files.clientCA, others.CertificatePEM())
	brokertest.Eventually(t, "the other authority is believed", func() bool { return with(others.ClientCertificate("app")) == nil })
	if with(apps.ClientCertificate("app")) == nil {
		t.Error("the authority that was taken away is still believed")
	}
	brokertest.ReplaceFile(t, files.clientCA, []byte("nothing"))
	brokertest.Eventually(t, "the trouble is told", func() bool {
		return strings.Contains(b.Logs.String(), "BROKER_TLS_CLIENT_CA_FILE: has no PEM certificate")
	})
	if with(nil) == nil || with(others.ClientCertificate("app")) != nil {
		t.Error("a broken file has changed who may come in")
	}
}

// A certificate tells an app who the broker is, and the broker nothing of the app.
func TestServerCertificateDoesNotSecureListener(t *testing.T) {
	t.Parallel()
	files := newTLSFiles(t)
	files.writePair(t, brokertest.NewCA(t, "servers"), "broker", time.Hour)
	_, problems := config.Load(brokertest.EnvironWithoutServers("BROKER_LISTEN=0.0.0.0:8080", "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	if len(problems) != 1 || problems[0].Variable != "BROKER_LISTEN" {
		t.Errorf("%v", problems)
	}
}
