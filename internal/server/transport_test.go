package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// newTLSServer serves handler over TLS until the test's end, and returns a transport to the API that trusts it.
func newTLSServer(t *testing.T, handler http.Handler, change func(*httptest.Server)) (*http.Transport, *httptest.Server) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	server.TLS = &tls.Config{}
	change(server)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := newAPITransport(brokertest.Timeout)
	transport.Proxy = nil // the environment's is none of this test's business
	transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(transport.CloseIdleConnections)
	return transport, server
}

func roundTrip(transport http.RoundTripper, url string) (proto string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), brokertest.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || string(body) != "ok") {
		err = fmt.Errorf("status %d, body %q", response.StatusCode, body)
	}
	return response.Proto, err
}

// TestBurstsReuseConnections holds that the connections of one burst serve the next. Each request is held back until
// the whole burst is there, so each burst takes 64 connections.
func TestBurstsReuseConnections(t *testing.T) {
	t.Parallel()
	const burst = 64
	var handshakes atomic.Int64
	var mu sync.Mutex
	arrived, all := 0, make(chan struct{})
	transport, server := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ready := all
		if arrived++; arrived == burst {
			close(all)
			arrived, all = 0, make(chan struct{})
		}
		mu.Unlock()
		select {
		case <-ready:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "ok")
	}), func(server *httptest.Server) {
		server.TLS.VerifyConnection = func(tls.ConnectionState) error {
			handshakes.Add(1)
			return nil
		}
	})
	for i := range 3 {
		var requests sync.WaitGroup
		for range burst {
			requests.Go(func() {
				if proto, err := roundTrip(transport, server.URL); err != nil || proto != "HTTP/1.1" {
					t.Errorf("%s, %v", proto, err)
				}
			})
		}
		requests.Wait()
		if n := handshakes.Load(); n > burst {
			t.Fatalf("%d handshakes after burst %d, want at most %d", n, i+1, burst)
		}
	}
}

func TestTransportSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	transport, server := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	}), func(server *httptest.Server) { server.EnableHTTP2 = true })
	if proto, err := roundTrip(transport, server.URL); err != nil || proto != "HTTP/2.0" {
		t.Errorf("%s, %v", proto, err)
	}
}

func TestTransportRefusesOldTLS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version uint16
		refused bool
	}{{tls.VersionTLS11, true}, {tls.VersionTLS12, false}, {tls.VersionTLS13, false}} {
		transport, server := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		}), func(server *httptest.Server) {
			server.TLS.MinVersion, server.TLS.MaxVersion = tls.VersionTLS10, test.version
		})
		if _, err := roundTrip(transport, server.URL); (err != nil) != test.refused {
			t.Errorf("%s: %v", tls.VersionName(test.version), err)
		}
		// That the server does speak it is what makes the refusal the transport's own.
		transport.TLSClientConfig.MinVersion = tls.VersionTLS10
		if _, err := roundTrip(transport, server.URL); err != nil {
			t.Errorf("%s: the server does not speak it: %v", tls.VersionName(test.version), err)
		}
	}
}

func TestTransportChecksCertificates(t *testing.T) {
	t.Parallel()
	transport, server := newTLSServer(t, http.NotFoundHandler(), func(*httptest.Server) {})
	transport.TLSClientConfig.RootCAs = nil
	if _, err := roundTrip(transport, server.URL); err == nil {
		t.Error("a certificate of an unknown authority is accepted")
	}
}

func TestTransportRequestsNoCompression(t *testing.T) {
	t.Parallel()
	asked := make(chan []string, 1)
	transport, server := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header["Accept-Encoding"]
		_, _ = io.WriteString(w, "ok")
	}), func(*httptest.Server) {})
	if _, err := roundTrip(transport, server.URL); err != nil {
		t.Fatal(err)
	}
	if got := brokertest.Receive(t, "a request", asked); got != nil {
		t.Errorf("Accept-Encoding %q", got)
	}
}

func TestTransportTimesOut(t *testing.T) {
	t.Parallel()
	_, server := newTLSServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}), func(*httptest.Server) {})
	transport := newAPITransport(50 * time.Millisecond)
	transport.Proxy = nil
	transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	began := time.Now()
	if _, err := roundTrip(transport, server.URL); err == nil || time.Since(began) > brokertest.Timeout/2 {
		t.Errorf("no time-out of the transport's own: %v after %v", err, time.Since(began))
	}
	// Longer than the server of an idle connection grants would mean requests lost in the closing of it.
	if transport.IdleConnTimeout <= 0 || transport.IdleConnTimeout >= time.Minute {
		t.Errorf("idle time-out %v", transport.IdleConnTimeout)
	}
	if NewLoginTransport().Proxy == nil || newAPITransport(0).Proxy == nil {
		t.Error("HTTPS_PROXY is not asked")
	}
}
