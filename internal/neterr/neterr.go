// Package neterr describes network errors in words that are safe to log and to send to clients.
//
// The error strings of net, crypto/tls and net/http may quote what the peer sent (a malformed status line, a
// certificate's names), and a hostile or broken peer can send back the secret or the token that it has received. So the
// text of an error is never used: each type of error has a fixed description, and all unknown errors share one.
package neterr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// Kind is a proxy error type as registered by RFC 9209 section 2.3.
type Kind string

// The kinds that Describe returns.
const (
	DNSTimeout            Kind = "dns_timeout"
	DNSError              Kind = "dns_error"
	DestinationUnroutable Kind = "destination_ip_unroutable"
	DestinationUnavail    Kind = "destination_unavailable"
	ConnectionRefused     Kind = "connection_refused"
	ConnectionTerminated  Kind = "connection_terminated"
	ConnectionTimeout     Kind = "connection_timeout"
	TLSProtocolError      Kind = "tls_protocol_error"
	TLSCertificateError   Kind = "tls_certificate_error"
	TLSAlertReceived      Kind = "tls_alert_received"
	HTTPResponseTimeout   Kind = "http_response_timeout"
	HTTPProtocolError     Kind = "http_protocol_error"
)

// Timeout reports whether the peer was too slow.
func (k Kind) Timeout() bool {
	switch k {
	case DNSTimeout, ConnectionTimeout, HTTPResponseTimeout:
		return true
	default:
		return false
	}
}

// Description describes a network error. Its fields are ASCII and contain nothing that the peer sent.
type Description struct {
	Kind Kind
	// Message is what happened, as the end of a sentence that begins with the server's name: "refused the connection".
	Message string
	// Advice is what to do, as a full sentence.
	Advice string
}

// ProxyRefusedError means that the HTTP proxy (HTTPS_PROXY) refused to open a tunnel.
type ProxyRefusedError struct {
	Status int // of the proxy's response to CONNECT
}

// Error contains the status code only: the reason phrase would be the proxy's words.
func (e *ProxyRefusedError) Error() string {
	return fmt.Sprintf("the HTTP proxy answered %d to CONNECT", e.Status)
}

// OnProxyConnectResponse is for the field of that name in http.Transport. It returns a *ProxyRefusedError if the proxy
// refused.
func OnProxyConnectResponse(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return &ProxyRefusedError{Status: res.StatusCode}
	}
	return nil
}

// Describe describes an error of http.RoundTripper or of reading a response body. err must not be nil. No field of the
// result is empty.
func Describe(err error) Description {
	for _, describe := range []func(error) (Description, bool){describeProxy, describeDNS, describeCertificate, describeHandshake, describeDial, describeTimeout, describeClosed} {
		if d, ok := describe(err); ok {
			return d
		}
	}
	return Description{HTTPProtocolError, "sent something that is not valid HTTP", "Check that the configured URL leads to the right server."}
}

const proxyAdvice = "Check HTTPS_PROXY and NO_PROXY."

func describeProxy(err error) (Description, bool) {
	var refused *ProxyRefusedError
	if errors.As(err, &refused) {
		return Description{DestinationUnavail, fmt.Sprintf("was not reached: the HTTP proxy answered %d to CONNECT", refused.Status), proxyAdvice}, true
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return Description{DestinationUnavail, "was not reached: the HTTP proxy does not answer as one", proxyAdvice}, true
	}
	return Description{}, false
}

func describeDNS(err error) (Description, bool) {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return Description{}, false
	}
	const advice = "Check the host name in the URL, and this machine's DNS (in a container: its network and resolver)."
	if dns.IsTimeout {
		return Description{DNSTimeout, "was not found: the name server did not answer in time", advice}, true
	}
	return Description{DNSError, "was not found: its host name has no address", advice}, true
}

func describeCertificate(err error) (Description, bool) {
	description := func(text, advice string) (Description, bool) {
		return Description{TLSCertificateError, text, advice}, true
	}
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
		verify  *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &roots):
		return description("was not trusted: this machine has no certificate authorities", "Install the package ca-certificates, or name a bundle in SSL_CERT_FILE.")
	case errors.As(err, &unknown):
		return description("has a certificate of an unknown authority", "If a proxy inspects TLS on the way, add its authority to a bundle and name it in SSL_CERT_FILE; otherwise install ca-certificates.")
	case errors.As(err, &name):
		return description("has a certificate for another host name", "Check the URL, and whether a proxy or a captive portal stands in the way.")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return description("has a certificate that is expired or not yet valid", "Check this machine's clock first.")
	case errors.As(err, &invalid), errors.As(err, &verify):
		return description("has a certificate that does not verify", "Check the URL, and whether a proxy stands in the way.")
	}
	return Description{}, false
}

func describeHandshake(err error) (Description, bool) {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return Description{TLSProtocolError, "does not speak TLS", "Check the URL's scheme and port, and whether a proxy stands in the way."}, true
	}
	// The type of the server's alerts is not exported. Its texts are crypto/tls's own, selected by a number.
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && strings.HasPrefix(op.Err.Error(), "tls: ") {
		return Description{TLSAlertReceived, "refused the TLS handshake (" + op.Err.Error() + ")", "It may want another version of TLS or a client certificate; or a proxy or firewall stands in the way."}, true
	}
	return Description{}, false
}

const unreachableAdvice = "Check the URL, the firewall and this machine's network."

func describeDial(err error) (Description, bool) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Description{ConnectionRefused, "refused the connection", unreachableAdvice}, true
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return Description{DestinationUnroutable, "cannot be reached: there is no route to it", unreachableAdvice}, true
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return Description{DestinationUnavail, "was not reached: too many open files", "Raise the limit of open files (ulimit -n, LimitNOFILE)."}, true
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Timeout() {
		return Description{ConnectionTimeout, "did not accept the connection in time", unreachableAdvice}, true
	}
	return Description{}, false
}

// These are the texts, or prefixes of texts, of errors of http.Transport that have no exported type.
const (
	tlsHandshakeTimeout = "net/http: TLS handshake timeout"
	closedIdle          = "http: server closed idle connection"
	http2Reset          = "stream error: "
	http2Lost           = "http2: client connection lost"
	http2GoAway         = "http2: server sent GOAWAY"
)

func describeTimeout(err error) (Description, bool) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) {
		if strings.HasSuffix(err.Error(), tlsHandshakeTimeout) {
			return Description{ConnectionTimeout, "did not finish the TLS handshake in time", unreachableAdvice}, true
		}
		return Description{HTTPResponseTimeout, "did not answer in time", "It may be overloaded; if that lasts, check the status page of eTrusted."}, true
	}
	return Description{}, false
}

func describeClosed(err error) (Description, bool) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		strings.HasSuffix(err.Error(), closedIdle),
		strings.HasPrefix(err.Error(), http2Reset), strings.HasPrefix(err.Error(), http2Lost), strings.HasPrefix(err.Error(), http2GoAway):
		return Description{ConnectionTerminated, "closed the connection before the answer was complete", "It may be restarting; try again."}, true
	}
	return Description{}, false
}
