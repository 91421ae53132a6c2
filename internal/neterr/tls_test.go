package neterr_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestDescribeTLSAlerts(t *testing.T) {
	for name, test := range map[string]struct {
		change     func(*httptest.Server)
		client     func(*tls.Config)
		proxyError string
	}{
		"client certificate wanted (TLS 1.3)": {func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequireAnyClientCert }, func(*tls.Config) {}, "tls_alert_received"},
		"client certificate wanted (TLS 1.2)": {func(s *httptest.Server) {
			s.TLS.ClientAuth = tls.RequireAnyClientCert
			s.TLS.MaxVersion = tls.VersionTLS12
		}, func(*tls.Config) {}, "tls_alert_received"},
		"server is too old": {func(s *httptest.Server) { s.TLS.MinVersion = tls.VersionTLS10; s.TLS.MaxVersion = tls.VersionTLS11 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, "tls_alert_received"},
		"server is too new": {func(s *httptest.Server) { s.TLS.MinVersion = tls.VersionTLS13 }, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "tls_alert_received"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTLSServer(t, test.change, nil)
			pool := x509.NewCertPool()
			pool.AddCert(s.Certificate())
			c := &tls.Config{RootCAs: pool}
			test.client(c)
			transport := &http.Transport{TLSClientConfig: c}
			defer transport.CloseIdleConnections()
			r, _ := http.NewRequest("GET", s.URL, nil)
			_, err := transport.RoundTrip(r)
			if got := checkDescribe(t, err); got.ProxyError != test.proxyError {
				t.Errorf("%v (%T): got %+v", err, err, got)
			}
		})
	}
}

func TestDescribeHTTP2Reset(t *testing.T) {
	s := startTLSServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true }, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	for _, path := range []string{"/", "/body"} {
		r, _ := http.NewRequest("POST", s.URL+path, nil)
		res, err := transport.RoundTrip(r)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		if got := checkDescribe(t, err); got.ProxyError != "connection_terminated" {
			t.Errorf("%v (%T): got %+v", err, err, got)
		}
	}
	transport.CloseIdleConnections()
}
