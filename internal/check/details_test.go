package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

func TestDescribesUntrustedCertificates(t *testing.T) {
	t.Parallel()
	c := &checker{}
	r := route{server: Server{Name: "API", URL: parse(t, "https://api.example"), Variable: "V", Cause: CauseAPI}, target: "api.example:443"}
	unknown := func(leaf *x509.Certificate) error {
		return &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: x509.UnknownAuthorityError{}}
	}
	for name, test := range map[string]struct {
		err   error
		ends  string
		cause Cause
	}{
		"organization": {unknown(&x509.Certificate{RawIssuer: []byte("a"), Issuer: pkix.Name{Organization: []string{"Corp & Sons"}}}), ", issued by Corp-Sons", CauseMachine},
		"self-signed":  {unknown(&x509.Certificate{RawIssuer: []byte("a"), RawSubject: []byte("a"), Issuer: pkix.Name{CommonName: "x"}}), ", self-signed", CauseMachine},
		"no roots":     {x509.SystemRootsError{}, "this machine has no certificate authorities", CauseMachine},
		"many names":   {x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a", "b", "c", "d"}}, Host: "api.example"}, "has a certificate for a, b, c, and more, not for api.example", CauseConfiguration},
		"three names":  {x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a", "b", "c"}}, Host: "api.example"}, "has a certificate for a, b, c, not for api.example", CauseConfiguration},
	} {
		if got := c.handshakeFailure(r, test.err); !strings.HasSuffix(got.Text, test.ends) || got.Cause != test.cause {
			t.Errorf("%s: got %+v, want %q", name, got, test.ends)
		}
	}
}

func TestSentenceIsBounded(t *testing.T) {
	t.Parallel()
	if got := new(redactor).sentence(strings.Repeat("x", maxSentence+1)); got != strings.Repeat("x", maxSentence)+"..." {
		t.Errorf("got %d bytes, want %d", len(got), maxSentence+len("..."))
	}
}

// TestWithholdsTokens: a token that contains itself, or another account's token, is not shown.
func TestWithholdsTokens(t *testing.T) {
	t.Parallel()
	c := &checker{}
	c.describeToken(Account{}, tokenResult{authorization: "Bearer CANARYtoken", lifetime: time.Minute}, &AccountReport{})
	if got := c.redact.sanitize("x-canary-TOKEN", claimPunctuation); got != withheld {
		t.Errorf("%q", got)
	}
}

func TestReadableMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, problem := readableMode(filepath.Join(dir, "none")); problem != "does not exist" {
		t.Errorf("%q", problem)
	}
	if listener, err := net.Listen("unix", filepath.Join(dir, "s")); err == nil { // neither a file nor a directory
		defer func() { _ = listener.Close() }()
		if _, problem := readableMode(filepath.Join(dir, "s")); problem != notRegular {
			t.Errorf("%q", problem)
		}
	}
	closed := filepath.Join(dir, "closed")
	if err := os.WriteFile(closed, nil, 0); err != nil {
		t.Fatal(err)
	}
	if file, err := os.Open(closed); err == nil { // root
		_ = file.Close()
		t.Skip("this user can read every file")
	}
	if _, problem := readableMode(closed); problem != "is not readable for this user" {
		t.Errorf("%q", problem)
	}
}

func TestJoinFirst(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]string{"a, b, c, d": {"a", "b", "c", "d"}, "a, b, c, d, and 2 more": {"a", "b", "c", "d", "e", "f"}} {
		if got := joinFirst(all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAsksWrongServerOnce: a server that responds in the API's place gets one request, not one per account.
func TestAsksWrongServerOnce(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetAPIFault(fakeetrusted.Answer(200, "text/html", "<p>"))
	config := healthyConfig(t)
	config.API.Standard = true // so that the network is the cause
	config.Transport.DialContext = inMemory(t, server).Dial
	config.Accounts = append(config.Accounts, Account{"b", config.Accounts[0].Credentials})
	_, text := runCheck(t, config)
	if !strings.Contains(text, "– GET /channels of b") || len(server.APIRequests()) != 1 {
		t.Errorf("%s", text)
	}
}

// TestProbeTimeout: a program that accepts connections and never responds takes at most probeTimeout, however long a step may.
func TestProbeTimeout(t *testing.T) {
	t.Parallel()
	config := healthyConfig(t)
	config.App = ListenAddress{Name: "app's listener", Display: "x", Network: "tcp", Address: tcpServer(t, readForever), Probe: func(context.Context) (bool, error) { return true, errors.New("taken") }}
	began := time.Now()
	mustFail(t, config, "app's listener", "x is in use by another program", CauseMachine)
	if took := time.Since(began); took > testTimeout/2 {
		t.Errorf("took %v", took)
	}
}

func TestBoundsProbeResponse(t *testing.T) {
	t.Parallel()
	address := tcpServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		for block := bytes.Repeat([]byte(" "), 1<<20); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	_, _, body, err := getFrom(t.Context(), ListenAddress{Network: "tcp", Address: address}, "/")
	if err != nil || len(body) != maxProbeBody {
		t.Errorf("got %d bytes, %v, want %d", len(body), err, maxProbeBody)
	}
}

// TestIdentifiesMutualTLSByAlert: only a TLS alert, on a listener that requires client certificates, indicates a broker.
func TestIdentifiesMutualTLSByAlert(t *testing.T) {
	t.Parallel()
	refuses := tcpServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // an alert: handshake_failure
	})
	plain := tcpServer(t, func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	for _, test := range []struct {
		address string
		wants   bool
		ok      bool
	}{{refuses, true, true}, {refuses, false, false}, {plain, true, false}} {
		if _, ok := identifyBroker(t.Context(), ListenAddress{Network: "tcp", Address: test.address, TLS: true, RequiresClientCert: test.wants}); ok != test.ok {
			t.Errorf("%+v: %v", test, ok)
		}
	}
}

// closeRecorder records that it was closed.
type closeRecorder struct {
	net.Conn
	closed bool
}

func (c *closeRecorder) Close() error {
	c.closed = true
	return c.Conn.Close()
}

func TestClosesConnectionToRefusingProxy(t *testing.T) {
	t.Parallel()
	address := tcpServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
		readForever(conn)
	})
	dialed := &closeRecorder{}
	c := &checker{Config: Config{Timeout: testTimeout, OnStep: func(Step) {}, Transport: &http.Transport{
		Proxy: http.ProxyURL(parse(t, "http://"+address)),
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			dialed.Conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return dialed, err
		},
	}}}
	if c.checkConnection(t.Context(), Server{URL: parse(t, "https://api.example")}) || !dialed.closed {
		t.Errorf("got closed: %v and %+v, want a failure and a closed connection", dialed.closed, c.report.Steps)
	}
}

func TestRecognizesHTMLByContentType(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetAPIFault(fakeetrusted.Answer(200, "Text/HTML; charset=utf-8", "Welcome to the hotel"))
	config := healthyConfig(t)
	config.Transport.DialContext = inMemory(t, server).Dial
	mustFail(t, config, "GET /channels", "the response is HTML", CauseConfiguration)
}

// TestTimeoutLimitsTokenRequest: the timeout of a step applies to the token request too.
func TestTimeoutLimitsTokenRequest(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetTokenFault(fakeetrusted.Hang())
	config := healthyConfig(t)
	config.Timeout = time.Second
	config.Transport.DialContext = inMemory(t, server).Dial
	began := time.Now()
	mustFail(t, config, "token", "did not answer in time", CauseLoginServer)
	if took := time.Since(began); took > 8*time.Second { // tokensource's own is 10 s
		t.Errorf("took %v", took)
	}
}

// TestVerifiesNameOfHTTPSProxy: the certificate of an HTTPS proxy must be for the proxy's name.
func TestVerifiesNameOfHTTPSProxy(t *testing.T) {
	t.Parallel()
	names := make(chan string, 1)
	address := tcpServer(t, func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, errors.New("enough")
		}}).HandshakeContext(t.Context())
	})
	c := &checker{Config: Config{
		Timeout: testTimeout, OnStep: func(Step) {}, Resolver: nameServer(t, resolves("proxy.example.")),
		Transport: &http.Transport{
			Proxy: http.ProxyURL(parse(t, "https://proxy.example")),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", address)
			},
		},
	}}
	if c.checkConnection(t.Context(), Server{URL: parse(t, "https://api.example")}) {
		t.Error("got a connection, want a failure")
	}
	if name := <-names; name != "proxy.example" {
		t.Errorf("got %q, want proxy.example", name)
	}
}

func TestSummaryNamesAppAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		listener ListenAddress
		want     string
	}{
		{"loopback", ListenAddress{Display: "127.0.0.1:8080", Network: "tcp", Address: "127.0.0.1:8080"}, "All checks passed. Your app's address: http://127.0.0.1:8080"},
		{"Unix socket", ListenAddress{Display: "unix:///run/broker.sock", Network: "unix", Address: "/run/broker.sock"}, "All checks passed. Your app's address: unix:///run/broker.sock"},
		{"system-chosen port", ListenAddress{Display: "127.0.0.1:0"}, "All checks passed."},
		{"all interfaces", ListenAddress{Display: "0.0.0.0:8080", Network: "tcp", Address: "127.0.0.1:8080"}, "All checks passed."},
		{"TLS", ListenAddress{Display: "127.0.0.1:8080", Network: "tcp", Address: "127.0.0.1:8080", TLS: true}, "All checks passed."},
		{"hidden value", ListenAddress{Display: "BROKER_LISTEN", Network: "tcp", Address: "127.0.0.1:8080"}, "All checks passed."},
	} {
		c := &checker{Config: Config{App: test.listener}}
		if got := c.finishReport(t.Context()).Summary; got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
