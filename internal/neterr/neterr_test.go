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
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/neterr"
)

// canary stands for a secret that a peer sends back.
const canary = "canary-7d20"

var kinds = map[neterr.Kind]bool{ // the value is Kind.Timeout
	neterr.DNSTimeout: true, neterr.DNSError: false, neterr.DestinationUnroutable: false, neterr.DestinationUnavail: false,
	neterr.ConnectionRefused: false, neterr.ConnectionTerminated: false, neterr.ConnectionTimeout: true,
	neterr.TLSProtocolError: false, neterr.TLSCertificateError: false, neterr.TLSAlertReceived: false,
	neterr.HTTPResponseTimeout: true, neterr.HTTPProtocolError: false,
}

func TestKindTimeout(t *testing.T) {
	for kind, want := range kinds {
		if kind.Timeout() != want {
			t.Errorf("%s.Timeout() = %v, want %v", kind, !want, want)
		}
	}
}

// checkDescribe returns the description of err, and checks what must hold for each one.
func checkDescribe(t *testing.T, err error) neterr.Description {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	got := neterr.Describe(err)
	if _, known := kinds[got.Kind]; !known {
		t.Errorf("%v: got unknown kind %q", err, got.Kind)
	}
	if got.Message == "" || strings.HasSuffix(got.Message, ".") || !strings.HasSuffix(got.Advice, ".") {
		t.Errorf("%v: got %+v, want a message without and an advice with a final period", err, got)
	}
	for _, c := range got.Message + got.Advice {
		if c < ' ' || c > '~' {
			t.Errorf("got %q in %+v, want printable ASCII", c, got)
		}
	}
	if strings.Contains(got.Message+got.Advice, canary) {
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
		err  error
		kind neterr.Kind
		text string // part of the message
	}{
		{&net.DNSError{Err: canary, Name: canary, Server: canary, IsNotFound: true}, neterr.DNSError, "no address"},
		{&net.DNSError{Err: canary, IsTemporary: true}, neterr.DNSError, ""},
		{dialError(&net.DNSError{Err: canary, IsTimeout: true}), neterr.DNSTimeout, "name server"},
		{dialError(syscall.ENETUNREACH), neterr.DestinationUnroutable, "no route"},
		{dialError(syscall.EHOSTUNREACH), neterr.DestinationUnroutable, "no route"},
		{dialError(syscall.EADDRNOTAVAIL), neterr.DestinationUnroutable, ""},
		{dialError(os.NewSyscallError("connect", syscall.ECONNREFUSED)), neterr.ConnectionRefused, "refused"},
		{dialError(os.NewSyscallError("connect", syscall.ETIMEDOUT)), neterr.ConnectionTimeout, "in time"},
		{dialError(os.NewSyscallError("socket", syscall.EMFILE)), neterr.DestinationUnavail, "open files"},
		{dialError(syscall.ENFILE), neterr.DestinationUnavail, "open files"},
		{dialError(context.DeadlineExceeded), neterr.ConnectionTimeout, "accept the connection"},
		{&net.OpError{Op: "proxyconnect", Err: dialError(syscall.ECONNREFUSED)}, neterr.DestinationUnavail, "HTTP proxy"},
		{&neterr.ProxyRefusedError{Status: 407}, neterr.DestinationUnavail, "answered 407"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, neterr.ConnectionTerminated, "closed"},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, neterr.ConnectionTerminated, "closed"},
		{&net.OpError{Op: "read", Err: net.ErrClosed}, neterr.ConnectionTerminated, "closed"},
		{io.EOF, neterr.ConnectionTerminated, "closed"},
		{io.ErrUnexpectedEOF, neterr.ConnectionTerminated, "closed"},
		{errors.New("http: server closed idle connection"), neterr.ConnectionTerminated, "closed"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, neterr.HTTPResponseTimeout, "in time"},
		{context.DeadlineExceeded, neterr.HTTPResponseTimeout, "in time"},
		{x509.UnknownAuthorityError{}, neterr.TLSCertificateError, "unknown authority"},
		{x509.SystemRootsError{Err: errors.New(canary)}, neterr.TLSCertificateError, "no certificate authorities"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{canary}}, Host: canary}, neterr.TLSCertificateError, "another host name"},
		{x509.CertificateInvalidError{Reason: x509.Expired, Detail: canary}, neterr.TLSCertificateError, "expired"},
		{x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign, Detail: canary}, neterr.TLSCertificateError, "does not verify"},
		{&tls.CertificateVerificationError{Err: errors.New(canary)}, neterr.TLSCertificateError, "does not verify"},
		{tls.RecordHeaderError{Msg: canary}, neterr.TLSProtocolError, "does not speak TLS"},
		{errors.New(canary), neterr.HTTPProtocolError, "not valid HTTP"},
	} {
		for _, err := range []error{test.err, wrap(test.err)} {
			if got := checkDescribe(t, err); got.Kind != test.kind || !strings.Contains(got.Message, test.text) {
				t.Errorf("%v: got %+v, want %s, %q", err, got, test.kind, test.text)
			}
		}
	}
}

// TestAdviceNamesTheRemedy: wrong advice is worse than none.
func TestAdviceNamesTheRemedy(t *testing.T) {
	for remedy, err := range map[string]error{
		"ulimit":          dialError(syscall.EMFILE),
		"HTTPS_PROXY":     &neterr.ProxyRefusedError{Status: 403},
		"clock":           x509.CertificateInvalidError{Reason: x509.Expired},
		"ca-certificates": x509.SystemRootsError{},
		"SSL_CERT_FILE":   x509.UnknownAuthorityError{},
		"DNS":             &net.DNSError{},
		"firewall":        dialError(syscall.ECONNREFUSED),
	} {
		if got := checkDescribe(t, err); !strings.Contains(got.Advice, remedy) {
			t.Errorf("%v: got advice %q, want %s in it", err, got.Advice, remedy)
		}
	}
}

// FuzzDescribe: no part of an unknown error's text is in its description.
func FuzzDescribe(f *testing.F) {
	for _, seed := range []string{"", "x", "http: server closed idle connection", "net/http: TLS handshake timeout", "malformed HTTP response"} {
		f.Add(seed)
	}
	unknown := neterr.Describe(errors.New("anything else"))
	f.Fuzz(func(t *testing.T, text string) {
		got := checkDescribe(t, errors.New(text))
		if !strings.HasSuffix(text, "http: server closed idle connection") && got != unknown {
			t.Errorf("%q: got %+v, want %+v", text, got, unknown)
		}
	})
}
