package doctor

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

func TestWordsAboutCertificates(t *testing.T) {
	t.Parallel()
	e := &examination{}
	r := route{server: Server{Name: "API", URL: parse(t, "https://api.example"), Variable: "V", Fault: API}, target: "api.example:443"}
	unknown := func(leaf *x509.Certificate) error {
		return &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: x509.UnknownAuthorityError{}}
	}
	for name, test := range map[string]struct {
		err   error
		ends  string
		fault Fault
	}{
		"organization": {unknown(&x509.Certificate{RawIssuer: []byte("a"), Issuer: pkix.Name{Organization: []string{"Corp & Sons"}}}), ", which goes by the name Corp-Sons", Machine},
		"self-signed":  {unknown(&x509.Certificate{RawIssuer: []byte("a"), RawSubject: []byte("a"), Issuer: pkix.Name{CommonName: "x"}}), ", itself: it is self-signed", Machine},
		"no roots":     {x509.SystemRootsError{}, "this machine has no certificate authorities", Machine},
		"many names":   {x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a", "b", "c", "d"}}, Host: "api.example"}, "but for a, b, c, and more", Configuration},
		"three names":  {x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a", "b", "c"}}, Host: "api.example"}, "but for a, b, c", Configuration},
	} {
		if got := e.untrusted(r, test.err); !strings.HasSuffix(got.text, test.ends) || got.fault != test.fault {
			t.Errorf("%s: %+v, want %q", name, got, test.ends)
		}
	}
}

func TestSentenceIsBounded(t *testing.T) {
	t.Parallel()
	if got := new(keeper).sentence(strings.Repeat("x", maxSentence+1)); got != strings.Repeat("x", maxSentence)+"..." {
		t.Errorf("%d bytes", len(got))
	}
}

// TestTokenIsKept holds that a token that repeats itself, or that another account's repeats, is not shown.
func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	e := &examination{}
	e.token(Account{}, grant{authorization: "Bearer CANARYtoken", lifetime: time.Minute}, &AccountReport{})
	if got := e.keep.claim("x-canary-TOKEN"); got != withheld {
		t.Errorf("%q", got)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, problem := look(filepath.Join(dir, "none")); problem != "does not exist" {
		t.Errorf("%q", problem)
	}
	if listener, err := net.Listen("unix", filepath.Join(dir, "s")); err == nil { // neither a file nor a folder
		defer func() { _ = listener.Close() }()
		if _, problem := look(filepath.Join(dir, "s")); problem != "is not a file" {
			t.Errorf("%q", problem)
		}
	}
	closed := filepath.Join(dir, "closed")
	if err := os.WriteFile(closed, nil, 0); err != nil {
		t.Fatal(err)
	}
	if file, err := os.Open(closed); err == nil { // root
		_ = file.Close()
		t.Skip("this user may read everything")
	}
	if _, problem := look(closed); problem != "may not be read by this user" {
		t.Errorf("%q", problem)
	}
}

func TestSome(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]string{"a, b, c, d": {"a", "b", "c", "d"}, "a, b, c, d, and 2 more": {"a", "b", "c", "d", "e", "f"}} {
		if got := some(all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSomethingElseAtTheAPI holds that what answers in the API's place is asked once, whoever has set the address.
func TestSomethingElseAtTheAPI(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetAPIFault(fakeetrusted.Answer(200, "text/html", "<p>"))
	config := healthy(t)
	config.API.Standard = true // so that it is the network's fault
	config.Transport.DialContext = memory(t, server).Dial
	config.Accounts = append(config.Accounts, Account{"b", config.Accounts[0].Origin})
	_, text := examined(t, config)
	if !strings.Contains(text, "– GET /channels of b") || len(server.APIRequests()) != 1 {
		t.Errorf("%s", text)
	}
}

// TestSilentNeighbour holds that one who takes connections and says nothing costs no more than a neighbour may, however long a step may.
func TestSilentNeighbour(t *testing.T) {
	t.Parallel()
	config := healthy(t)
	config.App = Listener{Name: "app's listener", Shown: "x", Network: "tcp", Address: raw(t, silent), Try: func(context.Context) (bool, error) { return true, errors.New("taken") }}
	began := time.Now()
	mustFail(t, config, "app's listener", "another program listens on x already", Machine)
	if took := time.Since(began); took > patience/2 {
		t.Errorf("took %v", took)
	}
}

func TestNeighboursAnswerIsBounded(t *testing.T) {
	t.Parallel()
	address := raw(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		for block := bytes.Repeat([]byte(" "), 1<<20); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	said, err := ask(t.Context(), Listener{Network: "tcp", Address: address}, "/")
	if err != nil || len(said.body) != maxStatus {
		t.Errorf("%d bytes, %v", len(said.body), err)
	}
}

// TestWhoAsksForACertificate holds what may be concluded of a TLS handshake that fails.
func TestWhoAsksForACertificate(t *testing.T) {
	t.Parallel()
	refuses := raw(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // an alert: handshake_failure
	})
	plain := raw(t, func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	for _, test := range []struct {
		address string
		wants   bool
		ok      bool
	}{{refuses, true, true}, {refuses, false, false}, {plain, true, false}} {
		if _, ok := askProxy(t.Context(), Listener{Network: "tcp", Address: test.address, Secure: true, WantsCertificate: test.wants}); ok != test.ok {
			t.Errorf("%+v: %v", test, ok)
		}
	}
}

// closing tells that it was closed.
type closing struct {
	net.Conn
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return c.Conn.Close()
}

// TestProxyConnectionIsNotLeftOpen holds that a proxy that refuses is hung up on.
func TestProxyConnectionIsNotLeftOpen(t *testing.T) {
	t.Parallel()
	address := raw(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
		silent(conn)
	})
	dialed := &closing{}
	e := &examination{Config: Config{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		dialed.Conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return dialed, err
	}}}}
	_, err := e.open(t.Context(), route{server: Server{URL: parse(t, "https://api.example")}, target: "api.example:443", proxy: parse(t, "http://"+address)})
	if err == nil || !dialed.closed {
		t.Errorf("%v, closed: %v", err, dialed.closed)
	}
}

// TestHTMLByItsType holds that what calls itself HTML is taken for it, whatever it begins with.
func TestHTMLByItsType(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetAPIFault(fakeetrusted.Answer(200, "Text/HTML; charset=utf-8", "Welcome to the hotel"))
	config := healthy(t)
	config.Transport.DialContext = memory(t, server).Dial
	mustFail(t, config, "GET /channels", "HTML came back", Configuration)
}

// TestTokenRequestTakesNoLongerThanAStep holds that -timeout is for the token request too.
func TestTokenRequestTakesNoLongerThanAStep(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetTokenFault(fakeetrusted.Hang())
	config := healthy(t)
	config.Timeout = time.Second
	config.Transport.DialContext = memory(t, server).Dial
	began := time.Now()
	mustFail(t, config, "token", "did not answer in time", LoginServer)
	if took := time.Since(began); took > 8*time.Second { // tokensource's own is 10 s
		t.Errorf("took %v", took)
	}
}

// TestTLSOfAProxyIsItsOwn holds that it is the proxy's name that a proxy over TLS has to have.
func TestTLSOfAProxyIsItsOwn(t *testing.T) {
	t.Parallel()
	names := make(chan string, 1)
	address := raw(t, func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, errors.New("enough")
		}}).HandshakeContext(t.Context())
	})
	e := &examination{Config: Config{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}}}
	if _, err := e.open(t.Context(), route{server: Server{URL: parse(t, "https://api.example")}, target: "api.example:443", proxy: parse(t, "https://proxy.example")}); err == nil {
		t.Error("it is open")
	}
	if name := <-names; name != "proxy.example" {
		t.Errorf("%q", name)
	}
}
