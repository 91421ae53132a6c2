package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// mutual is a broker that asks its clients for a certificate.
type mutual struct {
	*running
	eTrusted      *fakeetrusted.Server
	files         tlsFiles
	servers, apps *authority
}

func startMutual(t *testing.T, environ ...string) *mutual {
	t.Helper()
	m := &mutual{
		eTrusted: fakeetrusted.New(fakeetrusted.Options{}), files: newTLSFiles(t),
		servers: newAuthority(t, "servers"), apps: newAuthority(t, "apps"),
	}
	m.files.show(t, m.servers, "broker", time.Hour)
	write(t, m.files.clientCA, m.apps.pem())
	m.running = startBroker(t, nil, environFor(serveHTTP(t, m.eTrusted), append(environ, "BROKER_ACCESS_LOG=true",
		"BROKER_TLS_CERT_FILE="+m.files.cert, "BROKER_TLS_KEY_FILE="+m.files.key, "BROKER_TLS_CLIENT_CA_FILE="+m.files.clientCA)...))
	m.ready()
	return m
}

// with is how a client of the authority "apps" connects.
func (m *mutual) with(certificates []tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: roots(m.servers), Certificates: certificates}
}

// replaceClientCA puts other authorities in place, and waits until the broker uses them. Each time it rotates the broker's
// own certificate too, which shows that both are in use.
func (m *mutual) replaceClientCA(t *testing.T, name string, authorities ...*authority) {
	t.Helper()
	var bundle []byte
	for _, a := range authorities {
		bundle = append(bundle, a.pem()...)
	}
	write(t, m.files.clientCA, bundle)
	m.files.show(t, m.servers, name, time.Hour)
	eventually(t, "the broker uses the new files", func() bool {
		got, err := shown(t, m.running, m.with(authorities[0].client("probe")))
		return err == nil && got == name
	})
}

// keptAlive is one connection of a client.
type keptAlive struct {
	net.Conn
	reader *bufio.Reader
}

func (m *mutual) open(t *testing.T, config *tls.Config) *keptAlive {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(m.url, "http://"), config)
	if err != nil {
		t.Fatal(err)
	}
	return keep(t, conn)
}

func keep(t *testing.T, conn net.Conn) *keptAlive {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &keptAlive{conn, bufio.NewReader(conn)}
}

// get sends a request, and returns the whole response.
func (k *keptAlive) get(t *testing.T, host string) (response *http.Response, body string) {
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

// serves holds that a request over the connection reaches the API.
func (k *keptAlive) serves(t *testing.T, host, when string) {
	t.Helper()
	if got, body := k.get(t, host); got.StatusCode != http.StatusOK || got.Close {
		t.Fatalf("%s: status %d (Connection: close is %t), want 200 (false): %s", when, got.StatusCode, got.Close, body)
	}
}

// isRefused holds that a request over the connection is refused, and the connection closed.
func (k *keptAlive) isRefused(t *testing.T, host string) {
	t.Helper()
	got, body := k.get(t, host)
	if got.StatusCode != http.StatusForbidden || !got.Close || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, Connection: close is %t, %v, want 403, true, a problem", got.StatusCode, got.Close, got.Header)
	}
	if !strings.Contains(body, "urn:etrusted-broker:problem:client-certificate-untrusted") || !strings.Contains(body, "BROKER_TLS_CLIENT_CA_FILE") {
		t.Errorf("the problem does not say what to do: %s", body)
	}
	if _, err := k.reader.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}

func TestRefusesOpenConnectionsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	m := startMutual(t)
	others := newAuthority(t, "others")
	app := m.open(t, m.with(m.apps.client("app")))
	app.serves(t, "localhost", "at first")

	m.replaceClientCA(t, "both", others, m.apps)
	app.serves(t, "localhost", "after another authority was added")
	other := m.open(t, m.with(others.client("other")))
	other.serves(t, "localhost", "of the added authority")

	write(t, m.files.clientCA, []byte("nothing"))
	eventually(t, "the broker warns of the broken file", func() bool {
		return strings.Contains(m.logs.String(), "BROKER_TLS_CLIENT_CA_FILE: has no PEM certificate")
	})
	app.serves(t, "localhost", "while the file is broken")

	m.replaceClientCA(t, "others only", others)
	sent := m.eTrusted.APIRequestCount()
	app.isRefused(t, "localhost")
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("%d requests of the removed authority reached the API, want 0", n)
	}
	other.serves(t, "localhost", "of the authority that stays")
	if metrics := get(t, m.admin+"/metrics").body; !strings.Contains(metrics, `requests_denied_total{reason="certificate"} 1`+"\n") {
		t.Error("the refusal is not counted once by the reason certificate")
	}
	if !strings.Contains(m.logs.String(), `"denied":"certificate"`) {
		t.Error("the access log does not show the refusal")
	}
}

func TestRefusesTunnelsOfARemovedClientCA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMutual(t, "BROKER_INTERCEPT_CA_DIR="+dir)
	target := m.apiHost(t)
	authority, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(authority) {
		t.Fatal("no certificate")
	}
	tunnel := func() *keptAlive {
		outer := m.open(t, m.with(m.apps.client("app")))
		if status := outer.connect(t, target); status != http.StatusOK {
			t.Fatalf("CONNECT: status %d, want 200", status)
		}
		host, _, _ := net.SplitHostPort(target)
		return keep(t, tls.Client(outer.Conn, &tls.Config{RootCAs: trusted, ServerName: host}))
	}
	used, unused := tunnel(), tunnel()
	used.serves(t, target, "at first")
	waiting := m.open(t, m.with(m.apps.client("app")))
	waiting.serves(t, "localhost", "at first")

	m.replaceClientCA(t, "others", newAuthority(t, "others"))
	sent := m.eTrusted.APIRequestCount()
	used.isRefused(t, target)
	unused.isRefused(t, target)
	if status := waiting.connect(t, target); status != http.StatusForbidden {
		t.Errorf("CONNECT over an open connection: status %d, want 403", status)
	}
	if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
		t.Errorf("%d requests of the removed authority reached the API, want 0", n)
	}
}

// apiHost is the host of the API as the broker is configured.
func (m *mutual) apiHost(t *testing.T) string {
	t.Helper()
	lines := m.logs.lines("listening")
	if len(lines) != 1 {
		t.Fatalf("%d lines say where the broker listens, want 1", len(lines))
	}
	return strings.TrimPrefix(lines[0]["api"].(string), "http://")
}

func (k *keptAlive) connect(t *testing.T, target string) (status int) {
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
	m := startMutual(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		config := m.with(m.apps.client("app"))
		config.MaxVersion, config.ServerName = version, "localhost"
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		m.replaceClientCA(t, "before "+name, m.apps)
		for range 2 {
			conn := m.open(t, config)
			conn.serves(t, "localhost", name)
			if conn.Conn.(*tls.Conn).ConnectionState().DidResume {
				t.Errorf("%s: the session is resumed", name)
			}
		}
		m.replaceClientCA(t, "after "+name, newAuthority(t, "others"))
		sent := m.eTrusted.APIRequestCount()
		if _, err := shown(t, m.running, config); err == nil {
			t.Errorf("%s: a client of the removed authority is served", name)
		}
		if n := m.eTrusted.APIRequestCount() - sent; n != 0 {
			t.Errorf("%s: %d requests reached the API, want 0", name, n)
		}
	}
}

// A client that renews its certificate in time never gets a refusal: the broker closes the connection in good time.
func TestClosesConnectionsBeforeTheClientCertificateExpires(t *testing.T) {
	t.Parallel()
	m := startMutual(t)
	for _, test := range []struct {
		name     string
		lifetime time.Duration
		closes   bool
	}{
		{"expires within the idle timeout", clientIdleTimeout - time.Second, true},
		{"expires later", clientIdleTimeout + time.Hour/2, false},
	} {
		cert, key := m.apps.leaf("app", test.lifetime)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		got, body := m.open(t, m.with([]tls.Certificate{pair})).get(t, "localhost")
		if got.StatusCode != http.StatusOK || got.Close != test.closes {
			t.Errorf("%s: status %d, Connection: close is %t, want 200, %t: %s", test.name, got.StatusCode, got.Close, test.closes, body)
		}
	}
}

func TestAChainExpiresWithItsFirstCertificate(t *testing.T) {
	t.Parallel()
	epoch := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	chain := func(days ...int) (all []*x509.Certificate) {
		for _, n := range days {
			all = append(all, &x509.Certificate{NotAfter: epoch.AddDate(0, 0, n)})
		}
		return all
	}
	for _, test := range []struct {
		name   string
		chains [][]*x509.Certificate
		want   int
	}{
		{"the client's", [][]*x509.Certificate{chain(1, 2, 3)}, 1},
		{"an intermediate", [][]*x509.Certificate{chain(3, 1, 2)}, 1},
		{"the authority", [][]*x509.Certificate{chain(3, 2, 1)}, 1},
		{"the last of two chains", [][]*x509.Certificate{chain(4, 1, 3), chain(4, 2, 3), chain(4, 1, 1)}, 2},
	} {
		if got, want := lastExpiry(test.chains), epoch.AddDate(0, 0, test.want); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

func TestVerifiesTheClientCertificateUntilItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers, apps := newAuthority(t, "servers"), newAuthority(t, "apps")
		near, far := net.Pipe()
		server := tls.Server(far, &tls.Config{Certificates: servers.client("broker"), ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots(apps)})
		client := tls.Client(near, &tls.Config{RootCAs: roots(servers), Certificates: apps.client("app"), ServerName: "localhost"})
		go func() { _ = client.Handshake() }()
		if err := server.Handshake(); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = near.Close(), far.Close() }()
		presented, _ := withClientCertificate(context.Background(), server).Value(clientCertificateKey{}).(*clientCertificate)
		pool := roots(apps)
		for _, test := range []struct {
			after       time.Duration
			authorities *x509.CertPool
			want        bool
		}{
			{0, pool, true},
			{30 * time.Minute, pool, true},
			{0, roots(servers), false},
			{0, roots(apps, servers), true},
			{29 * time.Minute, pool, true},
			{2 * time.Minute, pool, false},
		} {
			time.Sleep(test.after)
			if got := presented.verify(test.authorities); got != test.want {
				t.Errorf("%v after the handshake: trusted is %t, want %t", time.Since(presented.conn.ConnectionState().PeerCertificates[0].NotBefore)-time.Hour, got, test.want)
			}
		}
	})
}
