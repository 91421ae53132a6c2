package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/neterr"
)

func TestReportsDNSFailures(t *testing.T) {
	t.Parallel()
	onlyAPI := func(failure dnsmessage.RCode) func(string) dnsmessage.RCode {
		return func(name string) dnsmessage.RCode {
			if name == "login.example." {
				return failure
			}
			return dnsmessage.RCodeSuccess
		}
	}
	for _, test := range []struct {
		name   string
		answer func(string) dnsmessage.RCode
		text   string
	}{
		{"no such host", onlyAPI(dnsmessage.RCodeNameError), "login.example was not found: its host name has no address"},
		{"no answer", onlyAPI(brokertest.NoDNSReply), "login.example was not found: the name server did not answer in time"},
		{"a broken name server", onlyAPI(dnsmessage.RCodeServerFailure), "login.example was not found: the name server failed, or none is configured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
			config.Login.Transport = &http.Transport{DialContext: resolvingDialer(t, test.answer).DialContext}
			if test.name == "no answer" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, "login server: DNS", test.text, CauseNetwork)
		})
	}
}

// A host name that is nearly eTrusted's is probably mistyped, whatever answers there.
func TestTypingErrorInURLComesFirst(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	config := eTrusted(t, server)
	config.Login.URL = parse(t, "http://logn.example/oauth/token")
	config.Login.Intended = "https://login.example/oauth/token"
	mustFail(t, config, "login server: DNS", "TOKEN_URL is probably mistyped: logn.example was not found: its host name has no address", CauseConfiguration)
	config = eTrusted(t, server)
	config.API.Intended = "https://api.example"
	for _, fault := range []http.Handler{fakeetrusted.Status(404, nil), fakeetrusted.Status(500, nil), fakeetrusted.Answer(200, "text/html", "<p>")} {
		server.SetAPIFault(fault)
		mustFail(t, config, "GET /channels", "API_URL is probably mistyped: ", CauseConfiguration)
	}
	server.SetAPIFault(fakeetrusted.Status(403, nil))
	mustFail(t, config, "GET /channels", "the client lacks the rights", CauseRights)
}

func TestReportsDialFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		cause      Cause
		dial       func(context.Context) error
	}{
		{"timeout", " did not accept the connection in time", CauseNetwork, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}},
		{"no route", " cannot be reached: there is no route to it", CauseNetwork, func(context.Context) error { return syscall.EHOSTUNREACH }},
		{"refused", " refused the connection", CauseAPI, func(context.Context) error { return syscall.ECONNREFUSED }},
		{"not permitted", "this machine does not permit connections to api.example:", CauseMachine, func(context.Context) error { return syscall.EPERM }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
			dialer := resolvingDialer(t, hosts)
			dialer.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error { return test.dial(ctx) }
			config.API.Transport = &http.Transport{DialContext: dialer.DialContext}
			if test.name == "timeout" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, "API: TCP", test.text, test.cause)
		})
	}
}

func TestReportsProxyFailures(t *testing.T) {
	t.Parallel()
	respond := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, text)
		}
	}
	for _, test := range []struct {
		name, scheme, step, text string
		handle                   func(net.Conn)
	}{
		{"silent", "http", "API: proxy", "api.example:443 was not reached: the proxy did not answer in time", readForever},
		{"no proxy", "http", "API: proxy", "api.example:443 was not reached: the HTTP proxy does not answer as one", respond("220 CANARY ESMTP\r\n")},
		{"closes", "http", "API: proxy", "api.example:443 was not reached: the HTTP proxy does not answer as one", func(net.Conn) {}},
		{"needs a password", "http", "API: proxy", "api.example:443 was not reached: the HTTP proxy answered 407 to CONNECT", respond("HTTP/1.1 407 CANARY\r\n\r\n")},
		{"refuses", "http", "API: proxy", "api.example:443 was not reached: the HTTP proxy answered 403 to CONNECT", respond("HTTP/1.1 403 CANARY\r\n\r\n")},
		{"HTTPS proxy without TLS", "https", "API: proxy TLS", "the proxy (HTTPS_PROXY): proxy.example:", respond("HTTP/1.1 400 CANARY\r\n\r\n")},
		{"server that is not a SOCKS proxy", "socks5", "API: proxy", "api.example:443 was not reached: the SOCKS proxy refused it, or does not answer as one", respond("HTTP/1.1 400 CANARY\r\n\r\n")},
		{"aborts TLS", "http", "API: TLS", "api.example:443 closed the connection during the TLS handshake", func(conn net.Conn) {
			respond("HTTP/1.1 200 OK\r\n\r\n")(conn)
			_, _ = conn.Read(make([]byte, 4096))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, port, _ := net.SplitHostPort(brokertest.ServeRaw(t, test.handle))
			config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
			throughProxy(t, &config, test.scheme+"://user:CANARY@proxy.example:"+port)
			if test.name == "silent" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, test.step, test.text, CauseNetwork)
			if _, text := runCheck(t, config); strings.Contains(text, "CANARY") || !strings.Contains(text, "through the proxy proxy.example:"+port) {
				t.Errorf("got the proxy's words or password, or no proxy:\n%s", text)
			}
		})
	}
}

// A proxy that is not there has nothing to do with the server's URL.
func TestMissingProxyIsNoTypingError(t *testing.T) {
	t.Parallel()
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	throughProxy(t, &config, "http://127.0.0.1:1")
	config.API.Intended = "https://api.example"
	mustFail(t, config, "API: TCP", "the proxy (HTTPS_PROXY): 127.0.0.1:1 refused the connection", CauseNetwork)
}

// throughProxy lets requests to https://api.example go through a proxy.
func throughProxy(t *testing.T, config *Config, address string) {
	t.Helper()
	proxy := parse(t, address)
	config.API.URL = parse(t, "https://api.example")
	config.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "api.example" {
			return proxy, nil
		}
		return nil, nil
	}
	config.API.Transport = &http.Transport{
		Proxy: config.Proxy, OnProxyConnectResponse: neterr.OnProxyConnectResponse, DialContext: resolvingDialer(t, hosts).DialContext,
	}
}

// The certificate of an HTTPS proxy must be for the proxy's name, and the TLS handshake with it is a separate step.
func TestHandshakeWithProxyIsAStep(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t, "authority")
	certificates := ca.ClientCertificate("proxy")
	names := make(chan string, 2)
	_, port, _ := net.SplitHostPort(brokertest.ServeRaw(t, func(conn net.Conn) {
		secure := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12}, nil
		}})
		_, _ = secure.Read(make([]byte, 4096))
		_, _ = io.WriteString(secure, "HTTP/1.1 407 No\r\n\r\n")
	}))
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	throughProxy(t, &config, "https://localhost:"+port)
	config.API.Transport.(*http.Transport).DialContext = nil
	config.API.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: brokertest.CertPool(ca), MinVersion: tls.VersionTLS12}
	mustFail(t, config, "API: proxy", "the HTTP proxy answered 407 to CONNECT", CauseNetwork)
	if _, text := runCheck(t, config); !strings.Contains(text, "ok API: proxy TLS: through the proxy localhost:") {
		t.Errorf("got no TLS handshake with the proxy in:\n%s", text)
	}
	if name := brokertest.Receive(t, "the name", names); name != "localhost" {
		t.Errorf("got a handshake for %q, want localhost", name)
	}
}

func TestDescribesUntrustedCertificates(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t, "Corporate & Sons\n")
	now := time.Now()
	for _, test := range []struct {
		name     string
		template x509.Certificate
		trusted  bool
		texts    []string
		cause    Cause
	}{
		{"unknown authority", x509.Certificate{DNSNames: []string{"api.example"}, NotAfter: now.Add(time.Hour)}, false,
			[]string{"has a certificate of an unknown authority: issued by Corporate-Sons- for api.example, valid from "}, CauseMachine},
		{"expired", x509.Certificate{DNSNames: []string{"api.example"}, NotAfter: now.Add(-time.Minute)}, true,
			[]string{"has a certificate that is expired or not yet valid: issued by ", now.Add(-time.Minute).UTC().Format(" to 2006-01-02"), "this machine's clock says 20"}, CauseAPI},
		{"another name", x509.Certificate{DNSNames: []string{"a.example", "b", "c", "d", "e", "f"}, NotAfter: now.Add(time.Hour)}, true,
			[]string{"has a certificate for another host name: issued by Corporate-Sons- for a.example, b, c, d, e, f, "}, CauseConfiguration},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.template.Subject = pkix.Name{CommonName: "leaf"}
			key, cert := ca.Sign(&test.template)
			_, port, _ := net.SplitHostPort(brokertest.ServeRaw(t, func(conn net.Conn) {
				server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
				_ = tls.Server(conn, server).HandshakeContext(t.Context())
			}))
			config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
			config.API.URL = parse(t, "https://api.example:"+port)
			if test.trusted {
				config.API.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: brokertest.CertPool(ca), MinVersion: tls.VersionTLS12}
			}
			for _, text := range test.texts {
				mustFail(t, config, "API: TLS", text, test.cause)
			}
		})
	}
}

// A certificate that is not valid yet is caused by this machine's clock.
func TestCertificateFromTheFutureIsCausedByClock(t *testing.T) {
	t.Parallel()
	cert := &x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}
	p := &serverProbe{ServerToTest: ServerToTest{URL: parse(t, "https://api.example"), Cause: CauseAPI}, checker: &checker{}}
	if got := p.tlsFailure(x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}); got.Cause != CauseMachine {
		t.Errorf("got %+v, want the cause %s", got, CauseMachine)
	}
	if got := p.tlsFailure(x509.SystemRootsError{Err: errors.New("none")}); got.Cause != CauseMachine {
		t.Errorf("got %+v, want the cause %s", got, CauseMachine)
	}
}

// Events of a connection that the client opens after the first request are ignored.
func TestIgnoresLateEvents(t *testing.T) {
	t.Parallel()
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	c := &checker{Config: config, probes: map[string]*serverProbe{}, interrupted: func() bool { return false }}
	c.OnStep = func(step Step) { t.Errorf("got the step %+v after the end of the request", step) }
	p := c.probeFor(config.API)
	p.finishConnection()
	p.trace().ConnectStart("tcp", "127.0.0.1:1")
}

// roundTripFunc is a function that is an http.RoundTripper.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A token request that takes long is followed by a second one, which is canceled when the first has ended.
func TestCanceledSecondRequestIsNotTheCause(t *testing.T) {
	t.Parallel()
	config := eTrusted(t, fakeetrusted.New(fakeetrusted.Options{}))
	causes := []error{context.DeadlineExceeded, context.Canceled}
	config.Login.Transport = roundTripFunc(func(*http.Request) (*http.Response, error) {
		err := causes[0]
		causes = causes[1:]
		return nil, err
	})
	c := &checker{Config: config, probes: map[string]*serverProbe{}, interrupted: func() bool { return false }}
	c.OnStep = func(Step) {}
	p := c.probeFor(config.Login)
	for range causes {
		_, _ = p.RoundTrip(&http.Request{URL: config.Login.URL, Header: http.Header{}})
	}
	p.finishConnection()
	if got, want := c.report.Steps[0].Text, "login.example was not found: the name server did not answer in time"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
