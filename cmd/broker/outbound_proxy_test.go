package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// connectProxy is an HTTP proxy that connects every tunnel to upstream. It records the requested targets.
type connectProxy struct {
	upstream  string
	mu        sync.Mutex
	requested []string
}

func (c *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requested = append(c.requested, r.Method+" "+r.RequestURI)
	c.mu.Unlock()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = client.Close() }()
	tunnelTo(client, c.upstream)
}

// targets returns the request lines so far, without the protocol.
func (c *connectProxy) targets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requested)
}

// The broker uses HTTPS_PROXY and SSL_CERT_FILE. Only the proxy knows the host names, so no request succeeds without it.
func TestUsesProxyAndCertificateVariables(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	server := httptest.NewUnstartedServer(eTrusted)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are expected
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	// The certificate is for example.com and *.example.com.
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := &connectProxy{upstream: server.Listener.Addr().String()}
	proxyURL := brokertest.Serve(t, proxy)
	environ := brokertest.Environ("https://api.example.com", "ETRUSTED_TOKEN_URL=https://login.example.com/oauth/token", "HTTPS_PROXY="+proxyURL)

	t.Run("through the proxy", func(t *testing.T) {
		p := startProcess(t, append(environ, "SSL_CERT_FILE="+bundle))
		if got := brokertest.Get(t, p.URL+"/channels"); got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
			t.Fatalf("/channels: got status %d, want 200 with channels: %s\n%s", got.Status, got.Body, p.Logs)
		}
		if got, want := proxy.targets(), []string{"CONNECT login.example.com:443", "CONNECT api.example.com:443"}; !slices.Equal(got, want) {
			t.Errorf("got tunnels %q, want %q", got, want)
		}
		if requests := eTrusted.APIRequests(); len(requests) != 1 || requests[0].Proto != "HTTP/1.1" || requests[0].Host != "api.example.com" {
			t.Errorf("got requests %+v, want one to api.example.com over HTTP/1.1", requests)
		}
	})
	t.Run("unknown CA", func(t *testing.T) {
		before := eTrusted.TokenRequestCount()
		p := startProcess(t, append(environ, "SSL_CERT_FILE="+os.DevNull, "SSL_CERT_DIR="+t.TempDir()))
		brokertest.Eventually(t, "the token request fails", func() bool { return len(p.Logs.Lines("token request failed")) > 0 })
		line := p.Logs.Lines("token request failed")[0]
		if reason, _ := line["reason"].(string); !strings.Contains(reason, "certificate") || !strings.Contains(line["hint"].(string), "SSL_CERT_FILE") {
			t.Errorf("got %v, want the cause and a variable to check", line)
		}
		if n := eTrusted.TokenRequestCount() - before; n != 0 {
			t.Errorf("got %d token requests at a server with an unknown certificate, want 0", n)
		}
	})
	t.Run("refusing proxy", func(t *testing.T) {
		refusing := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "CANARY", http.StatusProxyAuthRequired)
		}))
		p := startProcess(t, append(environ, "SSL_CERT_FILE="+bundle, "HTTPS_PROXY="+refusing))
		brokertest.Eventually(t, "the token request fails", func() bool { return len(p.Logs.Lines("token request failed")) > 0 })
		line := p.Logs.Lines("token request failed")[0]
		if reason, _ := line["reason"].(string); !strings.Contains(reason, "407") || !strings.Contains(line["hint"].(string), "HTTPS_PROXY") || line["code"] != "no-token" {
			t.Errorf("got %v, want the cause, a variable to check, and the code no-token", line)
		}
		if strings.Contains(p.Logs.String(), "CANARY") {
			t.Errorf("the log contains text of the proxy:\n%s", p.Logs)
		}
	})
}
