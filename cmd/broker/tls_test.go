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

	"etrusted-broker/internal/fakeetrusted"
)

// certificateFiles are those that a broker is configured with.
type certificateFiles struct{ cert, key, clientCA string }

func newTLSFiles(t *testing.T) certificateFiles {
	dir := t.TempDir()
	return certificateFiles{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")}
}

// show puts a new certificate of an authority in place.
func (f certificateFiles) show(t *testing.T, a *authority, name string, lifetime time.Duration) {
	t.Helper()
	cert, key := a.leaf(name, lifetime)
	write(t, f.key, key)
	write(t, f.cert, cert)
}

// shown makes a request over a connection of its own, and returns the name in the certificate that the broker showed.
func shown(t *testing.T, b *running, config *tls.Config) (name string, err error) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(b.url, "http://"), config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
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

func TestTLSIsFollowed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "servers")
	files := newTLSFiles(t)
	files.show(t, a, "first", time.Hour)
	b := startBroker(t, nil, environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})),
		"BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	b.ready()
	trusting := &tls.Config{RootCAs: roots(a), NextProtos: []string{"h2", "http/1.1"}}
	if name, err := shown(t, b, trusting); name != "first" || err != nil {
		t.Fatalf("%q, %v", name, err)
	}
	if len(b.logs.lines("the TLS certificate expires soon, or has expired: renew it")) != 1 {
		t.Error("an hour before its end, nobody is told")
	}

	files.show(t, a, "second", time.Hour)
	eventually(t, "the new certificate is shown", func() bool { name, err := shown(t, b, trusting); return err == nil && name == "second" })

	// What is broken leaves what there was, and is told once.
	other, _ := a.leaf("third", time.Hour)
	for _, broken := range [][]byte{[]byte("no certificate"), nil, other} {
		write(t, files.cert, broken)
	}
	eventually(t, "the trouble is told", func() bool { return strings.Contains(b.logs.String(), "those that there were stay in use") })
	if name, err := shown(t, b, trusting); name != "second" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	files.show(t, a, "fourth", 30*24*time.Hour)
	eventually(t, "it is mended", func() bool { name, err := shown(t, b, trusting); return err == nil && name == "fourth" })
}

// HTTP/2 is not offered, so nothing of it can be abused; and nothing but TLS 1.2 and newer is spoken.
func TestTLSIsNarrow(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "servers")
	files := newTLSFiles(t)
	files.show(t, a, "broker", time.Hour)
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	addr := strings.TrimPrefix(b.url, "http://")

	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots(a), NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("negotiated %q", got)
	}
	_ = conn.Close()
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots(a), NextProtos: []string{"h2"}}); err == nil {
		t.Error("HTTP/2 is spoken")
		_ = conn.Close()
	}
	if conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots(a), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
		_ = conn.Close()
	}
	if got := do(http.NewRequest(http.MethodGet, b.url+"/channels", nil)); got.err == nil && got.status < 400 {
		t.Errorf("plain HTTP is served: %d", got.status)
	}
	if n := eTrusted.APIRequestCount(); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	servers, apps, others := newAuthority(t, "servers"), newAuthority(t, "apps"), newAuthority(t, "others")
	files := newTLSFiles(t)
	files.show(t, servers, "broker", time.Hour)
	write(t, files.clientCA, apps.pem())
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "BROKER_LISTEN=0.0.0.0:0",
		"BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key, "BROKER_TLS_CLIENT_CA_FILE="+files.clientCA))
	b.ready()
	with := func(certificates []tls.Certificate) error {
		_, err := shown(t, b, &tls.Config{RootCAs: roots(servers), Certificates: certificates})
		return err
	}
	if err := with(apps.client("app")); err != nil {
		t.Errorf("an app of the right authority: %v", err)
	}
	served := eTrusted.APIRequestCount()
	for name, certificates := range map[string][]tls.Certificate{"none": nil, "of another authority": others.client("app"), "of the servers'": servers.client("app")} {
		if with(certificates) == nil {
			t.Errorf("served with a certificate: %s", name)
		}
	}
	if n := eTrusted.APIRequestCount(); n != served {
		t.Errorf("%d requests went upstream", n-served)
	}
	if got := get(t, b.admin+"/metrics"); !strings.Contains(got.body, "\netrusted_broker_unsafe_listen 0\n") {
		t.Error("client certificates count as unsafe")
	}

	write(t, files.clientCA, others.pem())
	eventually(t, "the other authority is believed", func() bool { return with(others.client("app")) == nil })
	if with(apps.client("app")) == nil {
		t.Error("the authority that was taken away is still believed")
	}
	write(t, files.clientCA, []byte("nothing"))
	eventually(t, "the trouble is told", func() bool {
		return strings.Contains(b.logs.String(), "BROKER_TLS_CLIENT_CA_FILE: has no PEM certificate")
	})
	if with(nil) == nil || with(others.client("app")) != nil {
		t.Error("a broken file has changed who may come in")
	}
}

// A certificate tells an app who the broker is, and the broker nothing of the app.
func TestACertificateAloneGuardsNothing(t *testing.T) {
	t.Parallel()
	files := newTLSFiles(t)
	files.show(t, newAuthority(t, "servers"), "broker", time.Hour)
	_, problems := loadConfig(nowhere("BROKER_LISTEN=0.0.0.0:8080", "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key))
	if len(problems) != 1 || problems[0].variable != "BROKER_LISTEN" {
		t.Errorf("%v", problems)
	}
}
