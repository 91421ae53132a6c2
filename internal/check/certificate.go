package check

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/neterr"
)

const unknownCAAdvice = "If a proxy inspects TLS, ask its administrator for the CA certificate, add it to a copy of this system's CA bundle (such as /etc/ssl/certs/ca-certificates.crt), and set SSL_CERT_FILE to that copy. Otherwise install the package ca-certificates. Send nothing to this server until you know whose certificate it is."

// handshakeFailure describes a failed TLS handshake. Of the certificate it shows only dates and redacted names.
func (c *checker) handshakeFailure(r route, err error) Step {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
	)
	explained := neterr.Describe("", err)
	result := failed(CauseNetwork, r.target+" "+explained.Detail, explained.Hint)
	switch {
	case errors.As(err, &roots):
		result.Cause = CauseMachine
	case errors.As(err, &unknown):
		result.Text += ", " + c.issuer(err)
		result.Advice, result.Cause = unknownCAAdvice, CauseMachine
	case errors.As(err, &name):
		result.Text = fmt.Sprintf("%s has a certificate for %s, not for %s", r.target, c.names(name.Certificate), r.server.URL.Hostname())
		result.Advice = fmt.Sprintf("Check the host name in %s, and whether a proxy or a captive portal responds in the server's place.", r.server.Variable)
		result.Cause = r.server.wrongServerCause()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return r.outsideValidity(invalid.Cert, time.Now())
	case explained.Code == neterr.CodeConnectionClosed:
		result.Text = r.target + " closed the connection during the TLS handshake"
		result.Advice = "A firewall or proxy may do this for hosts that it does not allow. " + explained.Hint
	case explained.Code == neterr.CodeNotTLS:
		result.Cause = r.server.wrongServerCause()
	}
	return result
}

// wrongServerCause is the cause if another server responds: the configured URL, or the network if the URL is the default.
func (s Server) wrongServerCause() Cause {
	if s.Standard {
		return CauseNetwork
	}
	return CauseConfiguration
}

// outsideValidity describes a certificate that has expired or is not valid yet, and shows this machine's time.
func (r route) outsideValidity(cert *x509.Certificate, now time.Time) Step {
	clock := fmt.Sprintf("Check this machine's clock first: it says %s UTC. ", now.UTC().Format(time.DateTime))
	if now.Before(cert.NotBefore) {
		return failed(CauseMachine, fmt.Sprintf("%s has a certificate that is not valid before %s", r.target, formatDate(cert.NotBefore)),
			clock+"It is probably behind: synchronise it (timedatectl set-ntp true).")
	}
	return failed(r.server.Cause, fmt.Sprintf("%s has a certificate that expired on %s", r.target, formatDate(cert.NotAfter)),
		clock+"If it is right, the operator of the server, or of a proxy in front of it, must renew the certificate.")
}

// issuer describes who signed the server's certificate.
func (c *checker) issuer(err error) string {
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) || len(verify.UnverifiedCertificates) == 0 {
		return "issuer unknown"
	}
	leaf := verify.UnverifiedCertificates[0]
	if string(leaf.RawIssuer) == string(leaf.RawSubject) {
		return "self-signed"
	}
	name := leaf.Issuer.CommonName
	if len(leaf.Issuer.Organization) > 0 {
		name = cmp.Or(name, leaf.Issuer.Organization[0])
	}
	return "issued by " + c.redact.sanitize(name, hostPunctuation)
}

// names lists the first names that a certificate is for.
func (c *checker) names(cert *x509.Certificate) string {
	const maxNames = 3
	if cert == nil || len(cert.DNSNames) == 0 {
		return "other names"
	}
	var names []string
	for _, name := range cert.DNSNames[:min(maxNames, len(cert.DNSNames))] {
		names = append(names, c.redact.sanitize(name, hostPunctuation))
	}
	if len(cert.DNSNames) > maxNames {
		names = append(names, "and more")
	}
	if c.redact.containsSecret(strings.Join(cert.DNSNames, "")) {
		return withheld
	}
	return strings.Join(names, ", ")
}
