package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// testCA is a certificate authority that only the test and its broker trust, and a certificate for the test's servers.
type testCA struct {
	*brokertest.CA
	certFile   string // the CA certificate, for SSL_CERT_FILE
	pool       *x509.CertPool
	serverCert tls.Certificate
}

// newTestCA returns a new CA. Its server certificate is for 127.0.0.1 and these names.
func newTestCA(t *testing.T, names ...string) *testCA {
	t.Helper()
	ca := brokertest.NewCA(t, "e2e test CA")
	key, cert := ca.Sign(&x509.Certificate{
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return &testCA{
		CA:         ca,
		certFile:   tempFile(t, string(ca.CertificatePEM())),
		pool:       brokertest.CertPool(ca),
		serverCert: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key},
	}
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
	return &http.Client{Transport: transport, Timeout: brokertest.Timeout}
}
