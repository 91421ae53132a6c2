package neterr_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/neterr"
)

const (
	shortTimeout = 30 * time.Millisecond // the timeout under test
	peerTimeout  = 10 * time.Second
)

func readOnly(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func reset(c net.Conn) {
	_, _ = c.Read(make([]byte, 4096))
	_ = c.(*net.TCPConn).SetLinger(0) // makes the close a reset
}

// startTLSServer starts an HTTPS server.
func startTLSServer(t *testing.T, change func(*httptest.Server), handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{}
	change(s)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// newCertificate returns a self-signed certificate.
func newCertificate(t *testing.T, template x509.Certificate) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.Subject = pkix.Name{CommonName: canary}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	template.IsCA, template.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// startNameServer answers every query with an RCODE (RFC 1035 section 4.1.1), or not at all.
func startNameServer(t *testing.T, code dnsmessage.RCode) *net.Resolver {
	t.Helper()
	return brokertest.DNSResolver(brokertest.ServeDNSAt(t, "127.0.0.1:0", func(string) ([]string, dnsmessage.RCode) { return nil, code }))
}

func TestDescribeProvoked(t *testing.T) {
	type attempt struct {
		url       string
		transport *http.Transport
		ctx       context.Context // nil means t.Context()
	}
	plain := func(addr string) attempt { return attempt{url: "http://" + addr, transport: &http.Transport{}} }
	proxied := func(addr string) attempt {
		return attempt{url: "https://" + canary + ".example", transport: &http.Transport{
			Proxy:                  http.ProxyURL(&url.URL{Scheme: "http", Host: addr}),
			OnProxyConnectResponse: neterr.OnProxyConnectResponse,
		}}
	}
	for name, test := range map[string]struct {
		make       func(t *testing.T) attempt
		proxyError string
		text       string
	}{
		"refused": {func(t *testing.T) attempt { return plain(brokertest.ClosedPort(t)) }, "connection_refused", "refused the connection"},
		"no such name": {func(t *testing.T) attempt {
			return attempt{url: "http://api.example", transport: &http.Transport{DialContext: (&net.Dialer{Resolver: startNameServer(t, dnsmessage.RCodeNameError)}).DialContext}}
		}, "dns_error", "no address"},
		"name server fails": {func(t *testing.T) attempt {
			return attempt{url: "http://api.example", transport: &http.Transport{DialContext: (&net.Dialer{Resolver: startNameServer(t, dnsmessage.RCodeServerFailure)}).DialContext}}
		}, "dns_error", ""},
		"name server is silent": {func(t *testing.T) attempt {
			return attempt{url: "http://api.example", transport: &http.Transport{DialContext: (&net.Dialer{Resolver: startNameServer(t, brokertest.NoDNSReply), Timeout: shortTimeout}).DialContext}}
		}, "dns_timeout", "name server"},
		"slow to accept": {func(*testing.T) attempt {
			return attempt{url: "http://127.0.0.1:9", transport: &http.Transport{DialContext: (&net.Dialer{Timeout: time.Nanosecond}).DialContext}}
		}, "connection_timeout", "accept the connection"},

		"proxy says no": {func(t *testing.T) attempt {
			return proxied(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 407 "+canary+"\r\nX: "+canary+"\r\nContent-Length: 0\r\n\r\n")))
		}, "destination_unavailable", "answered 407"},
		"proxy is away": {func(t *testing.T) attempt { return proxied(brokertest.ClosedPort(t)) }, "destination_unavailable", "HTTP proxy"},
		"proxy is no HTTP": {func(t *testing.T) attempt {
			return proxied(brokertest.ServeRaw(t, brokertest.Reply(canary+"\r\n\r\n")))
		}, "http_protocol_error", ""},

		"unknown authority": {func(t *testing.T) attempt {
			s := startTLSServer(t, func(*httptest.Server) {}, nil)
			return attempt{url: s.URL, transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}}
		}, "tls_certificate_error", "unknown authority"},
		"another host": {func(t *testing.T) attempt {
			s := startTLSServer(t, func(*httptest.Server) {}, nil)
			transport := s.Client().Transport.(*http.Transport)
			transport.TLSClientConfig.ServerName = "api.etrusted.com"
			return attempt{url: s.URL, transport: transport}
		}, "tls_certificate_error", "another host name"},
		"expired": {func(t *testing.T) attempt {
			cert, pool := newCertificate(t, x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)})
			s := startTLSServer(t, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{cert} }, nil)
			return attempt{url: s.URL, transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		}, "tls_certificate_error", "expired"},
		"not yet valid": {func(t *testing.T) attempt {
			cert, pool := newCertificate(t, x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)})
			s := startTLSServer(t, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{cert} }, nil)
			return attempt{url: s.URL, transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		}, "tls_certificate_error", "not yet valid"},
		"no TLS, but HTTP": {func(t *testing.T) attempt {
			return attempt{url: "https://" + brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 400 "+canary+"\r\n\r\n")), transport: &http.Transport{}}
		}, "tls_protocol_error", "does not speak TLS"},
		"handshake is slow": {func(t *testing.T) attempt {
			return attempt{url: "https://" + brokertest.ServeRaw(t, readOnly), transport: &http.Transport{TLSHandshakeTimeout: shortTimeout}}
		}, "connection_timeout", "TLS handshake in time"},
		"handshake breaks off": {func(t *testing.T) attempt {
			return attempt{url: "https://" + brokertest.ServeRaw(t, brokertest.Reply("")), transport: &http.Transport{}}
		}, "connection_terminated", "closed"},

		"closes":   {func(t *testing.T) attempt { return plain(brokertest.ServeRaw(t, brokertest.Reply(""))) }, "connection_terminated", "closed the connection"},
		"resets":   {func(t *testing.T) attempt { return plain(brokertest.ServeRaw(t, reset)) }, "connection_terminated", "closed the connection"},
		"not HTTP": {func(t *testing.T) attempt { return plain(brokertest.ServeRaw(t, brokertest.Reply(canary+"\r\n\r\n"))) }, "http_protocol_error", "not valid HTTP"},
		"bad status": {func(t *testing.T) attempt {
			return plain(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 "+canary+"\r\n\r\n")))
		}, "http_protocol_error", ""},
		"bad header": {func(t *testing.T) attempt {
			return plain(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\n"+canary+"\r\n\r\n")))
		}, "http_protocol_error", ""},
		"bad encoding": {func(t *testing.T) attempt {
			return plain(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: "+canary+"\r\n\r\n")))
		}, "http_protocol_error", ""},
		"slow answer": {func(t *testing.T) attempt {
			return attempt{url: "http://" + brokertest.ServeRaw(t, readOnly), transport: &http.Transport{ResponseHeaderTimeout: shortTimeout}}
		}, "http_response_timeout", "did not answer in time"},
		"slow answer over HTTP/2": {func(t *testing.T) attempt {
			s := startTLSServer(t, func(s *httptest.Server) { s.EnableHTTP2 = true }, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			transport := s.Client().Transport.(*http.Transport)
			transport.ResponseHeaderTimeout = shortTimeout
			return attempt{url: s.URL, transport: transport}
		}, "http_response_timeout", "did not answer in time"},
		"deadline of the request": {func(t *testing.T) attempt {
			ctx, cancel := context.WithTimeout(t.Context(), shortTimeout)
			t.Cleanup(cancel)
			return attempt{url: "http://" + brokertest.ServeRaw(t, readOnly), transport: &http.Transport{}, ctx: ctx}
		}, "http_response_timeout", "did not answer in time"},

		"body breaks off": {func(t *testing.T) attempt {
			return plain(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"+canary[:5])))
		}, "connection_terminated", "before the answer was complete"},
		"chunked body breaks off": {func(t *testing.T) attempt {
			return plain(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n"+canary[:5])))
		}, "connection_terminated", "before the answer was complete"},
		"chunked body is nonsense": {func(t *testing.T) attempt {
			return plain(brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+canary+"\r\n")))
		}, "http_protocol_error", ""},
		"body is slow": {func(t *testing.T) attempt {
			ctx, cancel := context.WithTimeout(t.Context(), 5*shortTimeout)
			t.Cleanup(cancel)
			return attempt{url: "http://" + brokertest.ServeRaw(t, func(c net.Conn) {
				brokertest.Reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")(c)
				readOnly(c)
			}), transport: &http.Transport{}, ctx: ctx}
		}, "http_response_timeout", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := test.make(t)
			defer a.transport.CloseIdleConnections()
			if a.ctx == nil {
				a.ctx = t.Context()
			}
			// The transport does not retry a POST.
			request, err := http.NewRequestWithContext(a.ctx, "POST", a.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+canary)
			response, err := a.transport.RoundTrip(request)
			if err == nil {
				_, err = io.Copy(io.Discard, bufio.NewReader(response.Body))
				_ = response.Body.Close()
			}
			if got := checkDescribe(t, err); got.ProxyError != test.proxyError || !strings.Contains(got.Detail, test.text) {
				t.Errorf("%v: got %+v, want %s, %q", err, got, test.proxyError, test.text)
			}
		})
	}
}

// TestDescribeInvalidHTTP2 accepts two kinds: either the read or a write fails first.
func TestDescribeInvalidHTTP2(t *testing.T) {
	s := startTLSServer(t, func(s *httptest.Server) {
		s.TLS.NextProtos = []string{"h2"}
		s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
			"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
				_, _ = io.WriteString(c, strings.Repeat(canary, 100))
			},
		}
	}, nil)
	transport := s.Client().Transport.(*http.Transport)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if got := checkDescribe(t, err); got.ProxyError != "http_protocol_error" && got.ProxyError != "connection_terminated" {
		t.Errorf("%v: got %+v, want %s or %s", err, got, "http_protocol_error", "connection_terminated")
	}
}

func TestOnProxyConnectResponse(t *testing.T) {
	for status, wantRefused := range map[int]bool{200: false, 302: true, 403: true, 407: true, 502: true} {
		err := neterr.OnProxyConnectResponse(t.Context(), nil, nil, &http.Response{StatusCode: status, Status: canary})
		var refused *neterr.ForwardProxyRefusedError
		if errors.As(err, &refused) != wantRefused || wantRefused && (refused.Status != status || strings.Contains(err.Error(), canary)) {
			t.Errorf("%d: %v", status, err)
		}
	}
}
