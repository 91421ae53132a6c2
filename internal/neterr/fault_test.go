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

// canary stands for what a peer sends back: the token that it was just given.
const canary = "canary-7d20"

var kinds = map[neterr.Kind]bool{ // and whether they are time-outs
	neterr.DNSTimeout: true, neterr.DNSError: false, neterr.DestinationUnroutable: false, neterr.DestinationUnavail: false,
	neterr.ConnectionRefused: false, neterr.ConnectionTerminated: false, neterr.ConnectionTimeout: true,
	neterr.TLSProtocolError: false, neterr.TLSCertificateError: false, neterr.TLSAlertReceived: false,
	neterr.HTTPResponseTimeout: true, neterr.HTTPProtocolError: false,
}

func TestTimeout(t *testing.T) {
	for kind, want := range kinds {
		if kind.Timeout() != want {
			t.Errorf("%s: %v", kind, !want)
		}
	}
}

// explain checks what must hold for every error.
func explain(t *testing.T, err error) neterr.Description {
	t.Helper()
	if err == nil {
		t.Fatal("no error was provoked")
	}
	fault := neterr.Describe(err)
	if _, known := kinds[fault.Kind]; !known {
		t.Errorf("kind %q for %v", fault.Kind, err)
	}
	if fault.Message == "" || strings.HasSuffix(fault.Message, ".") || !strings.HasSuffix(fault.Advice, ".") {
		t.Errorf("%+v for %v", fault, err)
	}
	for _, c := range fault.Message + fault.Advice {
		if c < ' ' || c > '~' {
			t.Errorf("%q in %+v", c, fault)
		}
	}
	if strings.Contains(fault.Message+fault.Advice, canary) {
		t.Errorf("the peer's words are in %+v", fault)
	}
	return fault
}

func dialing(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func wrapped(err error) error {
	return fmt.Errorf("%s: %w", canary, &url.Error{Op: "Get", URL: "https://" + canary, Err: err})
}

// TestExplain has the errors that no test can provoke on every machine; see TestExplainProvoked for the others.
func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		kind neterr.Kind
		text string // a part of it
	}{
		{&net.DNSError{Err: canary, Name: canary, Server: canary, IsNotFound: true}, neterr.DNSError, "no address"},
		{&net.DNSError{Err: canary, IsTemporary: true}, neterr.DNSError, ""},
		{dialing(&net.DNSError{Err: canary, IsTimeout: true}), neterr.DNSTimeout, "name server"},
		{dialing(syscall.ENETUNREACH), neterr.DestinationUnroutable, "no route"},
		{dialing(syscall.EHOSTUNREACH), neterr.DestinationUnroutable, "no route"},
		{dialing(syscall.EADDRNOTAVAIL), neterr.DestinationUnroutable, ""},
		{dialing(os.NewSyscallError("connect", syscall.ECONNREFUSED)), neterr.ConnectionRefused, "refused"},
		{dialing(os.NewSyscallError("connect", syscall.ETIMEDOUT)), neterr.ConnectionTimeout, "in time"},
		{dialing(os.NewSyscallError("socket", syscall.EMFILE)), neterr.DestinationUnavail, "open files"},
		{dialing(syscall.ENFILE), neterr.DestinationUnavail, "open files"},
		{dialing(context.DeadlineExceeded), neterr.ConnectionTimeout, "accept the connection"},
		{&net.OpError{Op: "proxyconnect", Err: dialing(syscall.ECONNREFUSED)}, neterr.DestinationUnavail, "HTTP proxy"},
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
		for _, err := range []error{test.err, wrapped(test.err)} {
			if got := explain(t, err); got.Kind != test.kind || !strings.Contains(got.Message, test.text) {
				t.Errorf("%v: %+v, want %s, %q", err, got, test.kind, test.text)
			}
		}
	}
}

// The advice must be about what is wrong: two faults with one sentence would send people the wrong way.
func TestAdviceNamesTheRemedy(t *testing.T) {
	for remedy, err := range map[string]error{
		"ulimit":          dialing(syscall.EMFILE),
		"HTTPS_PROXY":     &neterr.ProxyRefusedError{Status: 403},
		"clock":           x509.CertificateInvalidError{Reason: x509.Expired},
		"ca-certificates": x509.SystemRootsError{},
		"SSL_CERT_FILE":   x509.UnknownAuthorityError{},
		"DNS":             &net.DNSError{},
		"firewall":        dialing(syscall.ECONNREFUSED),
	} {
		if got := explain(t, err); !strings.Contains(got.Advice, remedy) {
			t.Errorf("%v: advice %q lacks %s", err, got.Advice, remedy)
		}
	}
}

// Whatever an unknown error says, none of it is passed on.
func FuzzExplain(f *testing.F) {
	for _, seed := range []string{"", "x", "http: server closed idle connection", "net/http: TLS handshake timeout", "malformed HTTP response"} {
		f.Add(seed)
	}
	unknown := neterr.Describe(errors.New("anything else"))
	f.Fuzz(func(t *testing.T, text string) {
		got := explain(t, errors.New(text))
		if !strings.HasSuffix(text, "http: server closed idle connection") && got != unknown {
			t.Errorf("%q: %+v", text, got)
		}
	})
}
