// Package neterr describes network errors in words that are safe to log and to send to clients.
//
// The errors of net, crypto/tls and net/http may quote what the peer sent (a malformed status line, a certificate's names), and
// that may be the secret or the token that it has received. So the text of an error is never used: each type of error has a fixed
// description, and all unknown errors share one.
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
	"runtime"
	"slices"
	"strings"
	"syscall"

	"etrusted-broker/internal/problem"
)

// The codes of the problems that callers distinguish.
const (
	CodeConnectionRefused  = "connection-refused"
	CodeConnectionClosed   = "connection-closed"
	CodeNotTLS             = "not-tls"
	CodeInvalidHTTP        = "invalid-http"
	CodeNoAuthorities      = "no-certificate-authorities"
	CodeUnknownAuthority   = "unknown-authority"
	CodeOtherHost          = "certificate-for-another-host"
	CodeCertificateExpired = "certificate-expired"
)

// OpHandshakeTimeout is the Op of a *net.OpError for a TLS handshake that was too slow. The error of crypto/tls does not say so.
const OpHandshakeTimeout = "tls handshake"

// ForwardProxyRefusedError means that the HTTP proxy (HTTPS_PROXY) refused to open a tunnel.
type ForwardProxyRefusedError struct {
	Status int // of the proxy's response to CONNECT
}

// Error contains the status code only: the reason phrase would be the proxy's words.
func (e *ForwardProxyRefusedError) Error() string {
	return fmt.Sprintf("the HTTP proxy answered %d to CONNECT", e.Status)
}

// OnProxyConnectResponse is for the field of that name in http.Transport. It returns a *ForwardProxyRefusedError if the proxy
// refused.
func OnProxyConnectResponse(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return &ForwardProxyRefusedError{Status: res.StatusCode}
	}
	return nil
}

// ErrLoop means that a server's host name leads to this program itself, or to another broker.
var ErrLoop = errors.New("its host name leads to a broker")

// ErrAddressRefused means that a host has an address to which the broker does not connect for an app: see package ssrf.
var ErrAddressRefused = errors.New("has an address that the broker does not connect to")

// VerifyServerIsNoBroker is for the field VerifyConnection of tls.Config: it returns ErrLoop if the server's certificate comes from the
// local CA of a broker. A program that trusts that CA, as apps do, would otherwise send its requests, and its secret, to itself.
func VerifyServerIsNoBroker(state tls.ConnectionState) error {
	if isIssuedByAnyBroker(state.PeerCertificates[0]) {
		return ErrLoop
	}
	return nil
}

// isIssuedByAnyBroker reports whether a certificate comes from the local CA of a broker: see package localca.
func isIssuedByAnyBroker(certificate *x509.Certificate) bool {
	return certificate != nil && slices.Contains(certificate.Issuer.Organization, problem.ProxyName)
}

const (
	proxyHint   = "Check HTTPS_PROXY and NO_PROXY."
	dnsHint     = "Check the host name in the URL, and this machine's DNS (in a container: its network and resolver)."
	loopHint    = "A hosts file, a network alias or the DNS sends the host name to the broker, as apps need it. Set BROKER_UPSTREAM_RESOLVER to the address of a DNS server that knows the server's own addresses."
	connectHint = "Check the URL, the firewall and this machine's network."
)

// Describe describes an error of http.RoundTripper or http1.Client, or of reading a response body. err must not be nil. server
// begins the problem's Detail, as in "the API refused the connection"; if it is empty, Detail is only the rest: "refused the
// connection". The texts are ASCII, if server is. The problem has no Title, and does not wrap err, which may quote the peer.
func Describe(server string, err error) *problem.Problem {
	badGateway := func(code, proxyError, detail, hint string) *problem.Problem {
		detail = strings.TrimPrefix(server+" "+detail, " ")
		return &problem.Problem{Code: code, Status: http.StatusBadGateway, ProxyError: proxyError, Detail: detail, Hint: hint}
	}
	gatewayTimeout := func(code, proxyError, detail, hint string) *problem.Problem {
		p := badGateway(code, proxyError, detail, hint)
		p.Status = http.StatusGatewayTimeout
		return p
	}
	untrusted := func(code, detail, hint string) *problem.Problem {
		return badGateway(code, "tls_certificate_error", detail, hint)
	}
	// hasPrefix recognises errors of http.Transport that have no exported type.
	hasPrefix := func(prefix string) bool { return strings.HasPrefix(err.Error(), prefix) }
	refused, isRefused := errors.AsType[*ForwardProxyRefusedError](err)
	op, isNetwork := errors.AsType[*net.OpError](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	unknown, _ := errors.AsType[x509.UnknownAuthorityError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	isTimeout = isTimeout && timeout.Timeout()
	isOp := func(name string) bool { return isNetwork && op.Op == name }
	// An error may match several cases, such as a DNS error that is a timeout. The first is the most specific.
	switch {
	case errors.Is(err, ErrLoop), isIssuedByAnyBroker(unknown.Cert):
		return badGateway("upstream-is-broker", "proxy_loop_detected", "was not reached: its host name leads to a broker", loopHint)
	case isRefused:
		return badGateway("forward-proxy-refused", "destination_unavailable", fmt.Sprintf("was not reached: the HTTP proxy answered %d to CONNECT", refused.Status), proxyHint)
	case isOp("proxyconnect"):
		return badGateway("forward-proxy-invalid", "destination_unavailable", "was not reached: the HTTP proxy does not answer as one", proxyHint)

	case isDNS && dns.IsTimeout:
		return gatewayTimeout("dns-timeout", "dns_timeout", "was not found: the name server did not answer in time", dnsHint)
	case isDNS && dns.IsNotFound:
		return badGateway("dns-error", "dns_error", "was not found: its host name has no address", dnsHint)
	case isDNS:
		return badGateway("dns-error", "dns_error", "was not found: the name server failed, or none is configured", dnsHint)

	case isErrorOfType[x509.SystemRootsError](err):
		return untrusted(CodeNoAuthorities, "was not trusted: this machine has no certificate authorities", "Install the package ca-certificates, or set SSL_CERT_FILE to a bundle.")
	case isErrorOfType[x509.UnknownAuthorityError](err):
		return untrusted(CodeUnknownAuthority, "has a certificate of an unknown authority", unknownAuthorityHint())
	case isErrorOfType[x509.HostnameError](err):
		return untrusted(CodeOtherHost, "has a certificate for another host name", "Check the URL, and whether a proxy or a captive portal intercepts the connection.")
	case isInvalid && invalid.Reason == x509.Expired:
		return untrusted(CodeCertificateExpired, "has a certificate that is expired or not yet valid", "Check this machine's clock first.")
	case isInvalid, isErrorOfType[*tls.CertificateVerificationError](err):
		return untrusted("certificate-invalid", "has a certificate that does not verify", "Check the URL, and whether a proxy intercepts the connection.")

	case isErrorOfType[tls.RecordHeaderError](err):
		return badGateway(CodeNotTLS, "tls_protocol_error", "does not speak TLS", "Check the URL's scheme and port, and whether a proxy intercepts the connection.")
	case isOp("remote error") && strings.HasPrefix(op.Err.Error(), "tls: "):
		// The type of the server's alerts is not exported. Its texts are crypto/tls's own, selected by a number.
		return badGateway("tls-alert", "tls_alert_received", "refused the TLS handshake ("+op.Err.Error()+")", "It may require a different TLS version or a client certificate, or a proxy or firewall intercepts the connection.")

	case IsErrno(err, syscall.ECONNREFUSED):
		return badGateway(CodeConnectionRefused, "connection_refused", "refused the connection", connectHint)
	case IsErrno(err, syscall.ENETUNREACH), IsErrno(err, syscall.EHOSTUNREACH), IsErrno(err, syscall.EADDRNOTAVAIL):
		return badGateway("no-route", "destination_ip_unroutable", "cannot be reached: there is no route to it", connectHint)
	case IsErrno(err, syscall.EMFILE), IsErrno(err, syscall.ENFILE):
		return badGateway("too-many-open-files", "destination_unavailable", "was not reached: too many open files", "Raise the limit of open files (ulimit -n, LimitNOFILE).")

	case isOp("dial") && op.Timeout():
		return gatewayTimeout("connection-timeout", "connection_timeout", "did not accept the connection in time", connectHint)
	case isOp(OpHandshakeTimeout), isTimeout && strings.HasSuffix(err.Error(), "net/http: TLS handshake timeout"):
		return gatewayTimeout("tls-handshake-timeout", "connection_timeout", "did not finish the TLS handshake in time", connectHint)
	case isOp("write") && op.Timeout():
		return gatewayTimeout("write-timeout", "connection_write_timeout", "did not read the request in time", "It may be overloaded, or the line too slow for the upload.")
	case isTimeout, errors.Is(err, os.ErrDeadlineExceeded):
		return gatewayTimeout("response-timeout", "http_response_timeout", "did not answer in time", "It may be overloaded; if that lasts, check the status page of eTrusted.")

	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		IsErrno(err, syscall.ECONNRESET), IsErrno(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		strings.HasSuffix(err.Error(), "http: server closed idle connection"),
		hasPrefix("stream error: "), hasPrefix("http2: client connection lost"), hasPrefix("http2: server sent GOAWAY"):
		return badGateway(CodeConnectionClosed, "connection_terminated", "closed the connection before the answer was complete", "It may be restarting; try again.")
	default:
		return badGateway(CodeInvalidHTTP, "http_protocol_error", "sent something that is not valid HTTP", "Check that the configured URL leads to the right server.")
	}
}

// unknownAuthorityHint says how to trust the CA of a proxy that inspects TLS.
func unknownAuthorityHint() string {
	if runtime.GOOS == "windows" { // where Go ignores SSL_CERT_FILE
		return "If a proxy inspects TLS, import its CA into the certificate store of this computer: certutil -addstore Root FILE."
	}
	return "If a proxy inspects TLS, add its CA to a bundle and set SSL_CERT_FILE to that bundle; otherwise install the package ca-certificates."
}

// isErrorOfType reports whether err is or wraps an error of type E.
func isErrorOfType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// winsockErrnos has the numbers of the errors of sockets on Windows, by their names in package syscall.
var winsockErrnos = map[syscall.Errno]syscall.Errno{
	syscall.EACCES:        10013, // WSAEACCES
	syscall.EADDRINUSE:    10048, // WSAEADDRINUSE
	syscall.EADDRNOTAVAIL: 10049, // WSAEADDRNOTAVAIL
	syscall.EAFNOSUPPORT:  10047, // WSAEAFNOSUPPORT
	syscall.ECONNREFUSED:  10061, // WSAECONNREFUSED
	syscall.ECONNRESET:    10054, // WSAECONNRESET
	syscall.EHOSTUNREACH:  10065, // WSAEHOSTUNREACH
	syscall.EMFILE:        10024, // WSAEMFILE
	syscall.ENETUNREACH:   10051, // WSAENETUNREACH
	syscall.EPIPE:         10053, // WSAECONNABORTED
}

// IsErrno reports whether err is or wraps an error of a socket, such as syscall.ECONNREFUSED. On Windows, errors.Is would never
// find it: the values of package syscall with these names are made up.
func IsErrno(err error, target syscall.Errno) bool {
	number, exists := winsockErrnos[target]
	return errors.Is(err, target) || exists && errors.Is(err, number)
}
