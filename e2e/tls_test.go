package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// testCA is a certificate authority that only the test and its broker trust, and a certificate for the test's servers.
type testCA struct {
	certFile   string // the CA certificate, for SSL_CERT_FILE
	pool       *x509.CertPool
	serverCert tls.Certificate
}

// newTestCA returns a new CA. Its server certificate is for 127.0.0.1 and these names.
func newTestCA(t *testing.T, names ...string) *testCA {
	t.Helper()
	valid := x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}

	ca := valid
	ca.SerialNumber, ca.Subject = big.NewInt(1), pkix.Name{CommonName: "e2e test CA"}
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caKey := newECKey(t)
	caDER, err := x509.CreateCertificate(rand.Reader, &ca, &ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}

	leaf := valid
	leaf.SerialNumber, leaf.IPAddresses, leaf.DNSNames = big.NewInt(2), []net.IP{net.IPv4(127, 0, 0, 1)}, names
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leafKey := newECKey(t)
	leafDER, err := x509.CreateCertificate(rand.Reader, &leaf, &ca, leafKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}

	a := &testCA{
		certFile:   filepath.Join(t.TempDir(), "ca.pem"),
		pool:       x509.NewCertPool(),
		serverCert: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey},
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	if err := os.WriteFile(a.certFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a.pool.AppendCertsFromPEM(text)
	return a
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startServer runs a TLS server with HTTP/2 until the test ends. handler is called when the server's URL is known.
func (a *testCA) startServer(t *testing.T, handler func(url string) http.Handler) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = handler("https://" + server.Listener.Addr().String())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.serverCert}, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// client returns an HTTP client that trusts only servers of this CA.
func (a *testCA) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: waitTimeout}
}
