package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
)

// newTLSServer serves handler over TLS until the test ends, and returns a transport that trusts it. change sets up the server
// before it starts.
func newTLSServer(t *testing.T, handler http.Handler, change func(*httptest.Server)) (*http.Transport, *httptest.Server) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are expected
	server.TLS = &tls.Config{}
	change(server)
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := NewLoginTransport(new(dialer.AddressFilteringTCPDialer))
	transport.Proxy = nil // ignores the proxy of the machine that runs the test
	transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(transport.CloseIdleConnections)
	return transport, server
}

// roundTrip sends a GET request. It returns an error unless the response is 200 with the body "ok".
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

// Requests that share an HTTP/2 connection with one that hangs would hang too.
func TestLoginTransportUsesOneConnectionPerRequest(t *testing.T) {
	t.Parallel()
	transport, server := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	}), func(server *httptest.Server) { server.EnableHTTP2 = true })
	if proto, err := roundTrip(transport, server.URL); proto != "HTTP/1.1" || err != nil {
		t.Errorf("got %s, %v, want HTTP/1.1", proto, err)
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
			t.Errorf("%s: got error %v, want refused %t", tls.VersionName(test.version), err, test.refused)
		}
		// The server does speak that version: it was the transport that refused.
		transport.TLSClientConfig.MinVersion = tls.VersionTLS10
		if _, err := roundTrip(transport, server.URL); err != nil {
			t.Errorf("%s with an old minimum: got error %v, want none", tls.VersionName(test.version), err)
		}
	}
}

func TestTransportChecksCertificates(t *testing.T) {
	t.Parallel()
	transport, server := newTLSServer(t, http.NotFoundHandler(), func(*httptest.Server) {})
	transport.TLSClientConfig.RootCAs = nil
	if _, err := roundTrip(transport, server.URL); err == nil {
		t.Error("got no error with a certificate of an unknown CA, want one")
	}
}

func TestTransportRequestsNoCompression(t *testing.T) {
	t.Parallel()
	acceptEncoding := make(chan []string, 1)
	transport, server := newTLSServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		acceptEncoding <- r.Header["Accept-Encoding"]
		_, _ = io.WriteString(w, "ok")
	}), func(*httptest.Server) {})
	if _, err := roundTrip(transport, server.URL); err != nil {
		t.Fatal(err)
	}
	if got := brokertest.Receive(t, "a request", acceptEncoding); got != nil {
		t.Errorf("got Accept-Encoding %q, want none", got)
	}
}

func TestTransportKeepsConnectionsForLessThanAMinute(t *testing.T) {
	t.Parallel()
	transport := NewLoginTransport(new(dialer.AddressFilteringTCPDialer))
	// If the transport kept idle connections for longer than the server does, requests would be lost when the server closes them.
	if transport.IdleConnTimeout <= 0 || transport.IdleConnTimeout >= time.Minute {
		t.Errorf("got idle timeout %v, want more than 0 and less than a minute", transport.IdleConnTimeout)
	}
	if transport.Proxy == nil {
		t.Error("got a transport without Proxy, want HTTPS_PROXY to be used")
	}
}

func TestAPITransportRoundTrip(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-released
		}
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(api.Close)
	t.Cleanup(func() { close(released) })
	transport := NewBodylessAPITransport(parseURL(t, api.URL), loadConfig(t, brokertest.Environ(api.URL)), new(dialer.AddressFilteringTCPDialer))
	connections := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{ConnectDone: func(string, string, error) { connections++ }})
	send := func(ctx context.Context, path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer x")
		return transport.RoundTrip(request)
	}
	for range 2 { // the second request is sent on the same connection
		response, err := send(ctx, "/channels?a=%2f")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		want := "GET /channels?a=%2f " + strings.TrimPrefix(api.URL, "http://") + " Bearer x"
		if string(body) != want || strings.Join(response.Header["X-Two"], ",") != "a,b" {
			t.Errorf("got %q and %v, want %q", body, response.Header, want)
		}
	}
	if connections != 1 {
		t.Errorf("got %d connections, want 1", connections)
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	response, err := send(limited, "/hang")
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}
