package doctor

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

const (
	authorityAdvice = "If a proxy inspects TLS on the way, ask whoever runs it for its authority's certificate, add it to a bundle with this system's own (as in /etc/ssl/certs/ca-certificates.crt), and name the bundle in SSL_CERT_FILE. If none does, install the package ca-certificates; and until it is known whose certificate that is, send nothing there."
	otherNameAdvice = "Check the host name in %s, and whether a proxy or a captive portal answers in the server's place."
)

// untrusted puts a TLS handshake that failed into words. Of the certificate nothing is told but dates and, cleaned, names.
func (e *examination) untrusted(r route, err error) finding {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
	)
	explained := neterr.Describe("", err)
	found := finding{text: r.target + " " + explained.Detail, advice: explained.Hint, fault: Network}
	switch {
	case errors.As(err, &roots):
		found.fault = Machine
	case errors.As(err, &unknown):
		found.text += ", " + e.issuer(err)
		found.advice, found.fault = authorityAdvice, Machine
	case errors.As(err, &name):
		found.text = fmt.Sprintf("%s has a certificate that is not for %s, but for %s", r.target, r.server.URL.Hostname(), e.names(name.Certificate))
		found.advice, found.fault = fmt.Sprintf(otherNameAdvice, r.server.Variable), r.addressFault()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return r.outOfDate(invalid.Cert, time.Now())
	case explained.Code == neterr.CodeConnectionClosed:
		found.text = r.target + " closed the connection in the middle of the TLS handshake"
		found.advice = "A firewall or a proxy on the way may do that to hosts that it does not allow. " + explained.Hint
	case explained.Code == neterr.CodeNotTLS:
		found.fault = r.addressFault()
	}
	return found
}

// addressFault is who is to blame if another answers than was asked: who wrote the address, unless it is eTrusted's own.
func (r route) addressFault() Fault {
	if r.server.Standard {
		return Network
	}
	return Configuration
}

// outOfDate tells which end of a certificate's life it is, and what this machine takes the time for.
func (r route) outOfDate(cert *x509.Certificate, now time.Time) finding {
	clock := fmt.Sprintf("Check this machine's clock first: it says %s UTC. ", now.UTC().Format(time.DateTime))
	if now.Before(cert.NotBefore) {
		return finding{
			text:   fmt.Sprintf("%s has a certificate that is not yet valid: it will be on %s", r.target, day(cert.NotBefore)),
			fault:  Machine,
			advice: clock + "It is most likely slow: switch NTP on (timedatectl set-ntp true).",
		}
	}
	return finding{
		text:   fmt.Sprintf("%s has a certificate that expired on %s", r.target, day(cert.NotAfter)),
		fault:  r.server.Fault,
		advice: clock + "If it is right, whoever runs the server, or a proxy in front of it, has to renew the certificate.",
	}
}

// issuer says who signed the certificate that the server showed.
func (e *examination) issuer(err error) string {
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) || len(verify.UnverifiedCertificates) == 0 {
		return "which is not named"
	}
	leaf := verify.UnverifiedCertificates[0]
	if string(leaf.RawIssuer) == string(leaf.RawSubject) {
		return "itself: it is self-signed"
	}
	name := leaf.Issuer.CommonName
	if len(leaf.Issuer.Organization) > 0 {
		name = cmp.Or(name, leaf.Issuer.Organization[0])
	}
	return "which goes by the name " + e.keep.name(name)
}

// names are those that a certificate is for.
func (e *examination) names(cert *x509.Certificate) string {
	const few = 3
	if cert == nil || len(cert.DNSNames) == 0 {
		return "other names"
	}
	var names []string
	for _, name := range cert.DNSNames[:min(few, len(cert.DNSNames))] {
		names = append(names, e.keep.name(name))
	}
	if len(cert.DNSNames) > few {
		names = append(names, "and more")
	}
	if e.keep.hides(strings.Join(cert.DNSNames, "")) {
		return withheld
	}
	return strings.Join(names, ", ")
}
