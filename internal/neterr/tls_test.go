package neterr_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"etrusted-broker/internal/neterr"
)

func TestDescribeTLSAlerts(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*httptest.Server)
		client func(*tls.Config)
		kind   neterr.Kind
	}{
		"client certificate wanted (TLS 1.3)": {func(s *httptest.Server) { s.TLS.ClientAuth = tls.RequireAnyClientCert }, func(*tls.Config) {}, neterr.TLSAlertReceived},
		"client certificate wanted (TLS 1.2)": {func(s *httptest.Server) {
			s.TLS.ClientAuth = tls.RequireAnyClientCert
			s.TLS.MaxVersion = tls.VersionTLS12
		}, func(*tls.Config) {}, neterr.TLSAlertReceived},
		"server is too old": {func(s *httptest.Server) { s.TLS.MinVersion = tls.VersionTLS10; s.TLS.MaxVersion = tls.VersionTLS11 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, neterr.TLSAlertReceived},
		"server is too new": {func(s *httptest.Server) { s.TLS.MinVersion = tls.VersionTLS13 }, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, neterr.TLSAlertReceived},
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
			if got := checkDescribe(t, err); got.Kind != test.kind {
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
		if got := checkDescribe(t, err); got.Kind != neterr.ConnectionTerminated {
			t.Errorf("%v (%T): got %+v", err, err, got)
		}
	}
	transport.CloseIdleConnections()
}
