package dialer_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/proxy/http1"
)

// canary stands for a secret, and for what a peer sends back.
const canary = "canary-91fe"

// caller is a Caller that stays.
type caller struct{ ctx context.Context }

func (c caller) Context() context.Context    { return c.ctx }
func (caller) CancelWhenGone(http1.Canceler) {}

// startServer starts an HTTPS server for example.com, which returns the protocol and whether the TLS session was resumed.
func startServer(t *testing.T) (s *httptest.Server, config *tls.Config) {
	t.Helper()
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Proto, " ", r.Host, " ", r.TLS.DidResume)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
}

// get sends a request on a fresh connection, and returns the response's body.
func get(t *testing.T, d *dialer.ServerDialer) (string, error) {
	t.Helper()
	client := http1.Client{Dial: d.Dial, ResponseTimeout: time.Second}
	defer client.CloseIdle()
	response, err := client.RoundTrip(&http1.ClientRequest{Method: "POST", Target: "/", Fields: http1.Fields{{Name: "Host", Value: "api"}}, Caller: caller{t.Context()}})
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func through(u *url.URL) func(*http.Request) (*url.URL, error) { return http.ProxyURL(u) }

func TestDialsTLSForHTTP1AndResumesSessions(t *testing.T) {
	s, config := startServer(t)
	d := &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, s.URL), TLS: config}
	for i, want := range []string{"HTTP/1.1 api false", "HTTP/1.1 api true"} {
		if got, err := get(t, d); err != nil || got != want {
			t.Errorf("%d: got %q, %v, want %q", i, got, err, want)
		}
	}
}

// connectProxy opens tunnels to one address, for the user name u and the password p.
func connectProxy(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.RequestURI != "example.com:443" || r.Host != r.RequestURI || r.Header.Get("Proxy-Authorization") != "Basic dTpw" {
			http.Error(w, canary, http.StatusProxyAuthRequired)
			return
		}
		server, err := net.Dial("tcp", address)
		if err != nil {
			http.Error(w, canary, http.StatusBadGateway)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		brokertest.Tunnel(conn, server)
	}
}

func TestDialsThroughHTTPProxy(t *testing.T) {
	s, config := startServer(t)
	address := s.Listener.Addr().String()
	plain := httptest.NewServer(connectProxy(address))
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(connectProxy(address)) // with the same certificate
	t.Cleanup(secure.Close)
	for _, proxy := range []string{plain.URL, secure.URL} {
		u := parse(t, proxy)
		u.User = url.UserPassword("u", "p")
		got, err := get(t, &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), TLS: config, Proxy: through(u)})
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 api") {
			t.Errorf("%s: got %q, %v", proxy, got, err)
		}
	}
	_, err := get(t, &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), TLS: config, Proxy: through(parse(t, plain.URL))})
	if refused := (*neterr.ForwardProxyRefusedError)(nil); !errors.As(err, &refused) || refused.Status != http.StatusProxyAuthRequired {
		t.Errorf("got %v, want the refusal of a proxy that requires a password", err)
	}
}

// socksProxy is a SOCKS5 proxy (RFC 1928) to one address, for the user name u and the password p (RFC 1929).
func socksProxy(t *testing.T, address string) func(net.Conn) {
	return func(conn net.Conn) {
		r := bufio.NewReader(conn)
		expect := func(what string) bool {
			got := make([]byte, len(what))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != what {
				t.Errorf("the proxy got %q, %v, want %q", got, err, what)
				return false
			}
			return true
		}
		if !expect("\x05\x02\x00\x02") {
			return
		}
		_, _ = io.WriteString(conn, "\x05\x02")
		if !expect("\x01\x01u\x01p") {
			return
		}
		_, _ = io.WriteString(conn, "\x01\x00")
		if !expect("\x05\x01\x00\x03\x0bexample.com\x01\xbb") {
			return
		}
		server, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
		brokertest.Tunnel(conn, server)
	}
}

func TestDialsThroughSOCKS5(t *testing.T) {
	s, config := startServer(t)
	proxy := brokertest.ServeRaw(t, socksProxy(t, s.Listener.Addr().String()))
	got, err := get(t, &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), TLS: config, Proxy: through(parse(t, "socks5://u:p@"+proxy))})
	if err != nil || !strings.HasPrefix(got, "HTTP/1.1 api") {
		t.Errorf("got %q, %v", got, err)
	}
}

// A proxy that refuses need not close the connection.
func TestClosesConnectionToSOCKSProxyThatRefuses(t *testing.T) {
	closed := make(chan error, 1)
	proxy := brokertest.ServeRaw(t, func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 3))
		_, _ = io.WriteString(conn, "\x05\xff") // no acceptable method: RFC 1928 section 3
		_, err := conn.Read(make([]byte, 1))
		closed <- err
	})
	d := &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), Proxy: through(parse(t, "socks5://"+proxy))}
	if conn, err := d.Dial(t.Context()); err == nil {
		_ = conn.Close()
		t.Error("got a connection, want an error")
	}
	if err := brokertest.Receive(t, "the end of the connection", closed); !errors.Is(err, io.EOF) {
		t.Errorf("the proxy got %v, want io.EOF", err)
	}
}

// Errors of the dialer and of the client get the description that they should have, without the peer's words.
func TestErrorsAreDescribed(t *testing.T) {
	proxied := func(t *testing.T, proxy string) *dialer.ServerDialer {
		return &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), Proxy: through(parse(t, proxy))}
	}
	direct := func(t *testing.T, server string) *dialer.ServerDialer {
		return &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, server)}
	}
	for name, test := range map[string]struct {
		make func(t *testing.T) *dialer.ServerDialer
		code string
	}{
		"refused": {func(t *testing.T) *dialer.ServerDialer { return direct(t, "http://"+brokertest.ClosedPort(t)) }, "connection-refused"},
		"closes": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("")))
		}, "connection-closed"},
		"half a header": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200")))
		}, "connection-closed"},
		"half a body": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"+canary[:5])))
		}, "connection-closed"},
		"no HTTP": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply(canary+"\r\n\r\n")))
		}, "invalid-http"},
		"bad chunks": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+canary+"\r\n")))
		}, "invalid-http"},
		"silent": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "http://"+brokertest.ServeRaw(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
		}, "response-timeout"},
		"no TLS": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "https://"+brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 400 "+canary+"\r\n\r\n")))
		}, "not-tls"},
		"unknown authority": {func(t *testing.T) *dialer.ServerDialer { s, _ := startServer(t); return direct(t, s.URL) }, "unknown-authority"},
		"another name": {func(t *testing.T) *dialer.ServerDialer {
			s, c := startServer(t)
			u := parse(t, s.URL)
			u.Host = "localhost:" + u.Port()
			return &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: u, TLS: c}
		}, "certificate-for-another-host"},
		"handshake breaks": {func(t *testing.T) *dialer.ServerDialer {
			return direct(t, "https://"+brokertest.ServeRaw(t, brokertest.Reply("")))
		}, "connection-closed"},
		"proxy is away": {func(t *testing.T) *dialer.ServerDialer { return proxied(t, "http://"+brokertest.ClosedPort(t)) }, "forward-proxy-invalid"},
		"proxy refuses": {func(t *testing.T) *dialer.ServerDialer {
			return proxied(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 403 "+canary+"\r\n\r\n")))
		}, "forward-proxy-refused"},
		"proxy is no HTTP": {func(t *testing.T) *dialer.ServerDialer {
			return proxied(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply(canary+"\r\n\r\n")))
		}, "forward-proxy-invalid"},
		"proxy closes": {func(t *testing.T) *dialer.ServerDialer {
			return proxied(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("")))
		}, "forward-proxy-invalid"},
		"proxy speaks first": {func(t *testing.T) *dialer.ServerDialer {
			return proxied(t, "http://"+brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 200 OK\r\n\r\n"+canary)))
		}, "forward-proxy-invalid"},
		"proxy without TLS": {func(t *testing.T) *dialer.ServerDialer {
			return proxied(t, "https://"+brokertest.ServeRaw(t, brokertest.Reply(canary+"\r\n\r\n")))
		}, "forward-proxy-invalid"},
		"SOCKS is away": {func(t *testing.T) *dialer.ServerDialer { return proxied(t, "socks5://"+brokertest.ClosedPort(t)) }, "forward-proxy-invalid"},
		"no SOCKS": {func(t *testing.T) *dialer.ServerDialer {
			return proxied(t, "socks5h://"+brokertest.ServeRaw(t, brokertest.Reply(canary)))
		}, "forward-proxy-invalid"},
		"proxy's scheme": {func(t *testing.T) *dialer.ServerDialer { return proxied(t, "ftp://127.0.0.1") }, "forward-proxy-invalid"},
		"proxy's URL": {func(t *testing.T) *dialer.ServerDialer {
			return &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New(canary) }}
		}, "forward-proxy-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := get(t, test.make(t))
			if err == nil {
				t.Fatal("got no error")
			}
			if got := neterr.Describe("", err); got.Code != test.code || strings.Contains(got.Detail+got.Hint, canary) {
				t.Errorf("%v: got %+v, want code %s", err, got, test.code)
			}
		})
	}
}

// A caller that goes away ends a dial, also while a proxy is silent.
func TestContextEndsDial(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		arrived := make(chan struct{})
		proxy := brokertest.ServeRaw(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
			close(arrived)
			_, _ = io.Copy(io.Discard, conn)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		d := &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "https://example.com"), Proxy: through(parse(t, scheme+"://"+proxy))}
		start := time.Now()
		if conn, err := d.Dial(ctx); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%s: got %v, %v after %s, want an error at once", scheme, conn, err, time.Since(start))
		}
	}
}

// A connection that died idle, or on which bytes are readable, must not be reused through any kind of proxy.
func TestChecksIdleConnectionsThroughSOCKS5(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no check of idle connections on Windows")
	}
	for name, after := range map[string]func(net.Conn){
		"closed":      func(c net.Conn) { _ = c.Close() },
		"unsolicited": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL") },
	} {
		t.Run(name, func(t *testing.T) {
			api := brokertest.ServeRaw(t, func(c net.Conn) {
				r := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					time.AfterFunc(20*time.Millisecond, func() { after(c) })
				}
			})
			for kind, proxy := range map[string]func(*http.Request) (*url.URL, error){
				"direct": nil,
				"socks5": through(parse(t, "socks5://u:p@"+brokertest.ServeRaw(t, socksProxy(t, api)))),
			} {
				d := &dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: parse(t, "http://example.com:443"), Proxy: proxy}
				if proxy == nil {
					d.Server = parse(t, "http://"+api)
				}
				client := &http1.Client{Dial: d.Dial, ResponseTimeout: 5 * time.Second}
				for i := range 2 {
					response, err := client.RoundTrip(&http1.ClientRequest{Method: "POST", Target: "/", Fields: http1.Fields{{Name: "Host", Value: "example.com"}}, Caller: caller{t.Context()}})
					if err != nil {
						t.Errorf("%s, request %d: got %v, want a response over a new connection", kind, i, err)
						continue
					}
					body, _ := io.ReadAll(response.Body)
					_ = response.Body.Close()
					if string(body) != "ok" {
						t.Errorf("%s, request %d: got %q, which is no response to it", kind, i, body)
					}
					time.Sleep(100 * time.Millisecond)
				}
				client.CloseIdle()
			}
		})
	}
}
