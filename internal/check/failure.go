package check

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"etrusted-broker/internal/neterr"
)

// timeoutOps has the operations by which package neterr distinguishes timeouts.
var timeoutOps = map[string]string{stepTCP: "dial", stepProxyTLS: neterr.OpHandshake, stepTLS: neterr.OpHandshake}

// connectionFailure describes why a step of the connection failed, in the words of package neterr where it has some.
func (p *peer) connectionFailure(name string, err error) Step {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		err = op.Err // the step says that it is about the proxy
	}
	var timeout net.Error
	isTimeout := errors.As(err, &timeout) && timeout.Timeout()
	if isTimeout {
		err = &net.OpError{Op: timeoutOps[name], Err: os.ErrDeadlineExceeded}
	}
	switch name {
	case stepProxy:
		return p.proxyFailure(err, isTimeout)
	case stepTLS:
		return p.blame(p.tlsFailure(err))
	}
	address := hostPort(p.firstHop())
	explained := neterr.Describe(address, err)
	result := Step{Cause: CauseNetwork, Code: explained.Code, Text: explained.Detail, Advice: explained.Hint}
	switch {
	case name == stepDNS:
		result.Text = "cannot resolve " + p.firstHop().Hostname() + ": " + resolveProblem(err, isTimeout)
		result.Advice = neterr.Describe("", &net.DNSError{}).Hint
	case errors.Is(err, fs.ErrPermission), neterr.Is(err, syscall.EACCES):
		result = Failed(CauseMachine, "this machine does not permit connections to "+address, "Check this machine's firewall, and IPAddressDeny= if there is a systemd unit.")
	case explained.Code == neterr.CodeConnectionRefused && p.proxy == nil:
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
	return p.blame(result)
}

func resolveProblem(err error, isTimeout bool) string {
	var dns *net.DNSError
	switch {
	case isTimeout:
		return "the DNS server did not answer in time"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "it has no address"
	default:
		return "the DNS server failed, or none is configured"
	}
}

// proxyFailure describes why the proxy has not opened a tunnel.
func (p *peer) proxyFailure(err error, isTimeout bool) Step {
	explained := neterr.Describe(hostPort(p.URL), err)
	var refused *neterr.ProxyRefusedError
	switch {
	case isTimeout:
		return Failed(CauseNetwork, hostPort(p.URL)+" was not reached: the proxy did not answer in time", "Check HTTPS_PROXY and NO_PROXY, and whether the proxy is working.")
	case strings.HasPrefix(p.proxy.Scheme, "socks"):
		explained.Detail = hostPort(p.URL) + " was not reached: the SOCKS proxy refused it, or does not answer as one"
		explained.Hint = "Check HTTPS_PROXY and NO_PROXY, and whether the proxy needs a user name and password."
	case !errors.As(err, &refused):
		explained = neterr.Describe(hostPort(p.URL), &net.OpError{Op: "proxyconnect", Err: err})
	case refused.Status == http.StatusProxyAuthRequired:
		explained.Hint = "The proxy requires a user name and password: set them in HTTPS_PROXY, as in http://USER:PASSWORD@HOST:PORT. To bypass the proxy for this host, add the host to NO_PROXY."
	default:
		explained.Hint += " Ask the proxy's administrator to allow connections to this host."
		return p.blame(Failed(CauseNetwork, explained.Detail, explained.Hint)) // it may not know the host
	}
	return Failed(CauseNetwork, explained.Detail, explained.Hint)
}

// blame returns a failed step with a probable typing error in the server's URL as its first cause.
func (s Server) blame(step Step) Step {
	isServers := step.Cause == CauseConfiguration || step.Cause == CauseNetwork || step.Cause == s.Cause
	if s.Intended != "" && isServers {
		step.Text = s.Variable + " is probably mistyped: " + step.Text
		step.Advice = "Set " + s.Variable + " to " + s.Intended + " if that is what you mean. " + step.Advice
		step.Cause = CauseConfiguration
	}
	return step
}

// wrongServerCause is the cause if another server responds: the configured URL, or the network if the URL is the default.
func (s Server) wrongServerCause() Cause {
	if s.Standard {
		return CauseNetwork
	}
	return CauseConfiguration
}
