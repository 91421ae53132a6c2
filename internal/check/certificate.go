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

// tlsFailure describes a failed TLS handshake.
func (p *serverProbe) tlsFailure(err error) Step {
	result := failedWith(CauseNetwork, neterr.Describe(hostPort(p.URL), err))
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(verify.UnverifiedCertificates) > 0 {
		result.Text += ": " + p.describeUntrusted(verify.UnverifiedCertificates[0], time.Now())
	}
	switch result.Code {
	case neterr.CodeUnknownAuthority, neterr.CodeNoAuthorities:
		result.Cause = CauseMachine
	case neterr.CodeOtherHost, neterr.CodeNotTLS:
		result.Cause, result.Advice = p.OtherServer, "Check "+p.Variable+". "+result.Advice
	case neterr.CodeCertificateExpired:
		result.Cause = p.Cause
		if invalid, _ := errors.AsType[x509.CertificateInvalidError](err); invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			result.Cause = CauseMachine
		}
		result.Advice = "Check this machine's clock first, and synchronise it (" + clockSyncCommand() + "). If it is right, the operator of the server, or of a proxy in front of it, must renew the certificate."
	case neterr.CodeConnectionClosed:
		result.Text = hostPort(p.URL) + " closed the connection during the TLS handshake"
		result.Advice = "A firewall or proxy may do this for hosts that it does not allow. " + result.Advice
	}
	return result
}

// describeUntrusted describes a certificate that cannot be verified: its dates, and names that are sanitized.
func (c *checker) describeUntrusted(leaf *x509.Certificate, now time.Time) string {
	issuer := c.redact.sanitizeNames([]string{leaf.Issuer.CommonName})[0]
	if string(leaf.RawIssuer) == string(leaf.RawSubject) {
		issuer = "itself"
	}
	return fmt.Sprintf("issued by %s for %s, valid from %s to %s (this machine's clock says %s UTC)",
		issuer, cmp.Or(strings.Join(c.redact.sanitizeNames(leaf.DNSNames), ", "), "no host name"), formatDate(leaf.NotBefore), formatDate(leaf.NotAfter), now.UTC().Format(time.DateTime))
}

func formatDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }
