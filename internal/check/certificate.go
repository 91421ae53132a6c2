package check

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"etrusted-broker/internal/neterr"
)

// tlsFailure describes a failed TLS handshake, in the words of package neterr.
func (p *peer) tlsFailure(err error) Step {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		roots   x509.SystemRootsError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	explained := neterr.Describe(hostPort(p.URL), err)
	result := Failed(CauseNetwork, explained.Detail, explained.Hint)
	if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
		result.Text += ": " + p.describeCertificate(verify.UnverifiedCertificates[0], time.Now())
	}
	switch {
	case errors.As(err, &unknown), errors.As(err, &roots):
		result.Cause = CauseMachine
	case errors.As(err, &name), explained.Code == neterr.CodeNotTLS:
		result.Cause, result.Advice = p.wrongServerCause(), "Check "+p.Variable+". "+explained.Hint
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		result.Cause = p.Cause
		if time.Now().Before(invalid.Cert.NotBefore) {
			result.Cause = CauseMachine
		}
		result.Advice = "Check this machine's clock first, and synchronise it (" + syncClock() + "). If it is right, the operator of the server, or of a proxy in front of it, must renew the certificate."
	case explained.Code == neterr.CodeConnectionClosed:
		result.Text = hostPort(p.URL) + " closed the connection during the TLS handshake"
		result.Advice = "A firewall or proxy may do this for hosts that it does not allow. " + explained.Hint
	}
	return result
}

// describeCertificate describes a certificate that does not verify: its dates, and names that are sanitized.
func (c *checker) describeCertificate(leaf *x509.Certificate, now time.Time) string {
	issuer := c.redact.names([]string{leaf.Issuer.CommonName})[0]
	if string(leaf.RawIssuer) == string(leaf.RawSubject) {
		issuer = "itself"
	}
	return fmt.Sprintf("issued by %s for %s, valid from %s to %s (this machine's clock says %s UTC)",
		issuer, cmp.Or(joinFirst(c.redact.names(leaf.DNSNames)), "no host name"), formatDate(leaf.NotBefore), formatDate(leaf.NotAfter), now.UTC().Format(time.DateTime))
}

func formatDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }
