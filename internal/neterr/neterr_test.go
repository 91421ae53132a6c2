package neterr_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/problem"
)

// canary stands for a secret that a peer sends back.
const canary = "canary-7d20"

// statuses are the status codes of the proxy error types that Describe uses.
var statuses = map[string]int{
	"dns_timeout": 504, "dns_error": 502, "destination_ip_unroutable": 502, "destination_unavailable": 502,
	"connection_refused": 502, "connection_terminated": 502, "connection_timeout": 504,
	"tls_protocol_error": 502, "tls_certificate_error": 502, "tls_alert_received": 502,
	"http_response_timeout": 504, "connection_write_timeout": 504, "http_protocol_error": 502,
}

// checkDescribe returns the description of err, and checks what must hold for each one.
func checkDescribe(t *testing.T, err error) *problem.Problem {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	got := neterr.Describe("", err)
	if want := statuses[got.ProxyError]; got.Status != want {
		t.Errorf("%v: got status %d and proxy error type %q, want status %d", err, got.Status, got.ProxyError, want)
	}
	if got.Code == "" || errors.Is(got, err) {
		t.Errorf("%v: got %+v, want a code, and no cause", err, got)
	}
	if got.Detail == "" || strings.HasSuffix(got.Detail, ".") || !strings.HasSuffix(got.Hint, ".") {
		t.Errorf("%v: got %+v, want a detail without and a hint with a final period", err, got)
	}
	for _, c := range got.Detail + got.Hint {
		if c < ' ' || c > '~' {
			t.Errorf("got %q in %+v, want printable ASCII", c, got)
		}
	}
	if strings.Contains(got.Detail+got.Hint, canary) {
		t.Errorf("got the peer's words in %+v", got)
	}
	return got
}

func dialError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func wrap(err error) error {
	return fmt.Errorf("%s: %w", canary, &url.Error{Op: "Get", URL: "https://" + canary, Err: err})
}

// TestDescribe has the errors that cannot be provoked on every machine. TestDescribeProvoked has the others.
func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		err        error
		proxyError string
		text       string // part of the detail
	}{
		{&net.DNSError{Err: canary, Name: canary, Server: canary, IsNotFound: true}, "dns_error", "no address"},
		{&net.DNSError{Err: canary, IsTemporary: true}, "dns_error", "name server failed"},
		{dialError(&net.DNSError{Err: canary, IsTimeout: true}), "dns_timeout", "name server"},
		{dialError(syscall.ENETUNREACH), "destination_ip_unroutable", "no route"},
		{dialError(syscall.EHOSTUNREACH), "destination_ip_unroutable", "no route"},
		{dialError(syscall.EADDRNOTAVAIL), "destination_ip_unroutable", ""},
		{dialError(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection_refused", "refused"},
		{dialError(os.NewSyscallError("connect", syscall.ETIMEDOUT)), "connection_timeout", "in time"},
		{dialError(os.NewSyscallError("socket", syscall.EMFILE)), "destination_unavailable", "open files"},
		{dialError(syscall.ENFILE), "destination_unavailable", "open files"},
		{dialError(context.DeadlineExceeded), "connection_timeout", "accept the connection"},
		{&net.OpError{Op: "proxyconnect", Err: dialError(syscall.ECONNREFUSED)}, "destination_unavailable", "HTTP proxy"},
		{&neterr.ForwardProxyRefusedError{Status: 407}, "destination_unavailable", "answered 407"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection_terminated", "closed"},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, "connection_terminated", "closed"},
		{&net.OpError{Op: "read", Err: net.ErrClosed}, "connection_terminated", "closed"},
		{io.EOF, "connection_terminated", "closed"},
		{io.ErrUnexpectedEOF, "connection_terminated", "closed"},
		{errors.New("http: server closed idle connection"), "connection_terminated", "closed"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "http_response_timeout", "in time"},
		{&net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}, "connection_write_timeout", "did not read the request"},
		{&net.OpError{Op: neterr.OpHandshakeTimeout, Err: context.DeadlineExceeded}, "connection_timeout", "TLS handshake"},
		{context.DeadlineExceeded, "http_response_timeout", "in time"},
		{x509.UnknownAuthorityError{}, "tls_certificate_error", "unknown authority"},
		{x509.SystemRootsError{Err: errors.New(canary)}, "tls_certificate_error", "no certificate authorities"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{canary}}, Host: canary}, "tls_certificate_error", "another host name"},
		{x509.CertificateInvalidError{Reason: x509.Expired, Detail: canary}, "tls_certificate_error", "expired"},
		{x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign, Detail: canary}, "tls_certificate_error", "does not verify"},
		{&tls.CertificateVerificationError{Err: errors.New(canary)}, "tls_certificate_error", "does not verify"},
		{tls.RecordHeaderError{Msg: canary}, "tls_protocol_error", "does not speak TLS"},
		{errors.New(canary), "http_protocol_error", "not valid HTTP"},
	} {
		for _, err := range []error{test.err, wrap(test.err)} {
			if got := checkDescribe(t, err); got.ProxyError != test.proxyError || !strings.Contains(got.Detail, test.text) {
				t.Errorf("%v: got %+v, want %s, %q", err, got, test.proxyError, test.text)
			}
		}
	}
}

// A code stands for one text: the documentation links to it.
func TestCodesAreUnique(t *testing.T) {
	details := map[string]string{}
	for _, err := range []error{
		&net.DNSError{IsTimeout: true}, &net.DNSError{}, dialError(syscall.ENETUNREACH), dialError(syscall.ECONNREFUSED), dialError(syscall.EMFILE),
		dialError(context.DeadlineExceeded), &net.OpError{Op: "proxyconnect", Err: io.EOF}, &neterr.ForwardProxyRefusedError{Status: 407}, io.EOF,
		errors.New("net/http: TLS handshake timeout"), &net.OpError{Op: neterr.OpHandshakeTimeout, Err: context.DeadlineExceeded},
		&net.OpError{Op: "write", Err: os.ErrDeadlineExceeded}, context.DeadlineExceeded, errors.New("anything else"), tls.RecordHeaderError{},
		x509.UnknownAuthorityError{}, x509.SystemRootsError{}, x509.HostnameError{Certificate: &x509.Certificate{}}, x509.CertificateInvalidError{Reason: x509.Expired}, &tls.CertificateVerificationError{Err: io.EOF},
	} {
		got := neterr.Describe("", err)
		if before, found := details[got.Code]; found && before != got.Detail {
			t.Errorf("got code %s for %q and for %q, want one code each", got.Code, before, got.Detail)
		}
		details[got.Code] = got.Detail
	}
}

func TestDetailBeginsWithTheServer(t *testing.T) {
	if got, want := neterr.Describe("the API", io.EOF).Error(), "the API closed the connection before the answer was complete"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHintNamesTheRemedy: a wrong hint is worse than none.
func TestHintNamesTheRemedy(t *testing.T) {
	trust := "SSL_CERT_FILE"
	if runtime.GOOS == "windows" {
		trust = "certutil"
	}
	for remedy, err := range map[string]error{
		"ulimit":          dialError(syscall.EMFILE),
		"HTTPS_PROXY":     &neterr.ForwardProxyRefusedError{Status: 403},
		"clock":           x509.CertificateInvalidError{Reason: x509.Expired},
		"ca-certificates": x509.SystemRootsError{},
		trust:             x509.UnknownAuthorityError{},
		"DNS":             &net.DNSError{},
		"firewall":        dialError(syscall.ECONNREFUSED),
	} {
		if got := checkDescribe(t, err); !strings.Contains(got.Hint, remedy) {
			t.Errorf("%v: got hint %q, want %s in it", err, got.Hint, remedy)
		}
	}
}

// FuzzDescribe: no part of an unknown error's text is in its description.
func FuzzDescribe(f *testing.F) {
	for _, seed := range []string{"", "x", "http: server closed idle connection", "net/http: TLS handshake timeout", "malformed HTTP response"} {
		f.Add(seed)
	}
	unknown := neterr.Describe("", errors.New("anything else"))
	f.Fuzz(func(t *testing.T, text string) {
		got := checkDescribe(t, errors.New(text))
		if !strings.HasSuffix(text, "http: server closed idle connection") && got.Error() != unknown.Error() {
			t.Errorf("%q: got %+v, want %+v", text, got, unknown)
		}
	})
}
