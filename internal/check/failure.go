package check

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/problem"
)

// failedWith returns a failed step in the words of package neterr.
func failedWith(cause Cause, explained *problem.Problem) Step {
	return Failed(cause, explained.Code, explained.Detail, explained.Hint)
}

func (p *serverProbe) connectionFailure(name string, err error) Step {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		err = op.Err // the step says that it is about the proxy
	}
	timeout, isNetwork := errors.AsType[net.Error](err)
	isTimeout := isNetwork && timeout.Timeout()
	if isTimeout {
		op := map[string]string{stepTCP: "dial", stepProxyTLS: neterr.OpHandshakeTimeout, stepTLS: neterr.OpHandshakeTimeout}[name]
		err = &net.OpError{Op: op, Err: os.ErrDeadlineExceeded} // neterr distinguishes timeouts by the operation
	}
	switch name {
	case stepProxy:
		return p.proxyFailure(err, isTimeout)
	case stepTLS:
		return p.blameMistypedURL(p.tlsFailure(err))
	}
	address := hostPort(p.firstHop())
	if name == stepDNS {
		address = p.firstHop().Hostname()
		if _, isDNS := errors.AsType[*net.DNSError](err); !isDNS {
			err = &net.DNSError{IsTimeout: isTimeout}
		}
	}
	result := failedWith(CauseNetwork, neterr.Describe(address, err))
	switch {
	case errors.Is(err, fs.ErrPermission), neterr.IsErrno(err, syscall.EACCES):
		result = Failed(CauseMachine, "connection-forbidden", "this machine does not permit connections to "+address, "Check this machine's firewall, and IPAddressDeny= if there is a systemd unit.")
	case result.Code == neterr.CodeConnectionRefused && p.proxy == nil:
		result.Cause = p.Cause
		result.Advice += " Nothing listens at the address in " + p.Variable + ", or a firewall rejects the connection."
	}
	if p.proxy != nil { // nothing is known about the server yet
		result.Text = "the proxy (HTTPS_PROXY): " + result.Text
		result.Advice = "Check HTTPS_PROXY and NO_PROXY, and whether the proxy is running. " + result.Advice
		return result
	}
	if result.Cause == CauseNetwork {
		result.Advice += " If this machine reaches the internet only through a proxy, set HTTPS_PROXY."
	}
	return p.blameMistypedURL(result)
}

func (p *serverProbe) proxyFailure(err error, isTimeout bool) Step {
	refused, isRefused := errors.AsType[*neterr.ForwardProxyRefusedError](err)
	if !isRefused {
		err = &net.OpError{Op: "proxyconnect", Err: err}
	}
	result := failedWith(CauseNetwork, neterr.Describe(hostPort(p.URL), err))
	switch {
	case isTimeout:
		result = Failed(CauseNetwork, "forward-proxy-timeout", hostPort(p.URL)+" was not reached: the proxy did not answer in time", "Check HTTPS_PROXY and NO_PROXY, and whether the proxy is working.")
	case strings.HasPrefix(p.proxy.Scheme, "socks"):
		result = Failed(CauseNetwork, "forward-proxy-refused", hostPort(p.URL)+" was not reached: the SOCKS proxy refused it, or does not answer as one", "Check HTTPS_PROXY and NO_PROXY, and whether the proxy needs a user name and password.")
	case isRefused && refused.Status == http.StatusProxyAuthRequired:
		result.Advice = "The proxy requires a user name and password: set them in HTTPS_PROXY, as in http://USER:PASSWORD@HOST:PORT. To bypass the proxy for this host, add the host to NO_PROXY."
	case isRefused:
		result.Advice += " Ask the proxy's administrator to allow connections to this host."
		return p.blameMistypedURL(result) // it may not know the host
	}
	return result
}

// blameMistypedURL returns a failed step with a probable typing error in the server's URL as its first cause.
func (s ServerToTest) blameMistypedURL(step Step) Step {
	isServers := step.Cause == CauseConfiguration || step.Cause == CauseNetwork || step.Cause == s.Cause
	if s.Intended != "" && isServers {
		step.Text = s.Variable + " is probably mistyped: " + step.Text
		step.Advice = "Set " + s.Variable + " to " + s.Intended + " if that is what you mean. " + step.Advice
		step.Cause, step.Code = CauseConfiguration, "mistyped-url"
	}
	return step
}

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
		issuer, cmp.Or(strings.Join(c.redact.sanitizeNames(leaf.DNSNames), ", "), "no host name"), formatUTCDate(leaf.NotBefore), formatUTCDate(leaf.NotAfter), now.UTC().Format(time.DateTime))
}

func formatUTCDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }
