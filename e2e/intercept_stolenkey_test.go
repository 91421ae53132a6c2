package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestInterceptStolenKeyVouchesForNoOtherHost: who has stolen ca.key can impersonate the API to apps that trust ca.crt, and no
// other host. Each library for TLS decides that for itself.
func TestInterceptStolenKeyVouchesForNoOtherHost(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	_, caFile := createCA(t, realAPIHost, realLoginHost)
	const status = http.StatusTeapot // proves that the app has accepted the certificate
	var requests atomic.Int64
	thief := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(status)
	}))
	steal := stolenKey(t, filepath.Join(filepath.Dir(caFile), "ca.key"))
	thief.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return steal(hello.ServerName) }, MinVersion: tls.VersionTLS12}
	thief.StartTLS()
	t.Cleanup(thief.Close)
	_, port, err := net.SplitHostPort(thief.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, app := range []unmodifiedApp{
		{php, "curl"}, {php, "streams"}, {node, "fetch"}, {java, "HttpClient"}, {python, "urllib"}, {shell, "curl"}, {shell, "wget"},
	} {
		t.Run(app.name(), func(t *testing.T) {
			app.need(t) // one after another: they share the server
			for name, accepted := range map[string]int64{realAPIHost: 1, "shop.example": 0} {
				requests.Store(0)
				config := apiURLs("", "https://"+name+":"+port+"/").with(dummyCredentials).with(app.language.trustCA(t, caFile))
				_, err := app.start(t, "none", config)
				if got := min(1, requests.Load()); err == nil || got != accepted {
					t.Errorf("a certificate for %s: got %d requests, want %d, and an error: %v", name, got, accepted, err)
				}
			}
		})
	}
}

// stolenKey returns a function that issues certificates for any host with the key in the file.
func stolenKey(t *testing.T, file string) func(host string) (*tls.Certificate, error) {
	t.Helper()
	stolen, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return func(host string) (*tls.Certificate, error) {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, stolen.Leaf, key.Public(), stolen.PrivateKey)
		return &tls.Certificate{Certificate: [][]byte{der, stolen.Certificate[0]}, PrivateKey: key}, err
	}
}
