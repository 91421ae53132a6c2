package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"etrusted-broker/internal/neterr"
)

// connection is the connection to a server, which each step continues.
type connection struct {
	*checker
	route
	conn net.Conn // nil before the TCP step
}

// checkConnection tests the connection to a server, from DNS to the TLS handshake, and reports whether all steps passed.
func (c *checker) checkConnection(ctx context.Context, s Server) bool {
	step := func(name, target string) Step { return Step{Name: s.Name + ": " + name, Target: target} }
	r, ok := c.route(s)
	if !ok {
		// The error quotes the variable, which may contain a password.
		return c.runStep(ctx, step("proxy", ""), func(context.Context) Step {
			return failed(CauseConfiguration, "HTTPS_PROXY is not a URL", "Set it as http://HOST:PORT, or unset it; in a password, / is written %2F, @ is %40 and : is %3A.")
		})
	}
	first, conn := r.firstHop(), &connection{checker: c, route: r}
	defer conn.close()
	steps := []struct {
		name, target string
		applies      bool
		run          func(context.Context) Step
	}{
		{"DNS", first.Hostname(), true, conn.resolve},
		{"TCP", hostPort(first), true, conn.dial},
		{"proxy", hostPort(first), r.proxy != nil && !r.isSOCKS(), conn.openTunnel},
		{"TLS", r.target, s.URL.Scheme == "https" && !r.isSOCKS(), conn.handshake},
	}
	failedStep := ""
	for _, next := range steps {
		switch {
		case !next.applies:
		case failedStep != "":
			c.skipStep(ctx, step(next.name, next.target), "skipped: "+failedStep+" failed")
		case !c.runStep(ctx, step(next.name, next.target), next.run):
			failedStep = next.name
		}
	}
	return failedStep == ""
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close() // it was only a test
	}
}

func (c *connection) resolve(ctx context.Context) Step {
	host := c.firstHop().Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return passed(c.proxyPrefix() + host + " is an IP address")
	}
	addresses, err := cmp.Or(c.Resolver, net.DefaultResolver).LookupNetIP(ctx, "ip", host)
	if err != nil {
		return c.connectFailure(err)
	}
	noun := "addresses"
	if len(addresses) == 1 {
		noun = "address"
	}
	return passed(fmt.Sprintf("%s%s has %d %s", c.proxyPrefix(), host, len(addresses), noun))
}

func (c *connection) dial(ctx context.Context) Step {
	dial := c.Transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", hostPort(c.firstHop()))
	if err != nil {
		return c.connectFailure(err)
	}
	c.conn = conn
	text := c.proxyPrefix() + "connected to " + conn.RemoteAddr().String()
	if c.isSOCKS() {
		text += "; the token step tests what is behind the SOCKS proxy"
	}
	return passed(text)
}

func (c *connection) handshake(ctx context.Context) Step {
	if c.blockingCAFile != "" {
		return failed(CauseConfiguration, "not tested: SSL_CERT_FILE "+c.blockingCAFile+" is not a regular file", "Set SSL_CERT_FILE to a regular file, or unset it.")
	}
	secure := tls.Client(c.conn, c.tlsConfig(c.server.URL.Hostname()))
	err := secure.HandshakeContext(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // the timeout
		return failed(CauseNetwork, c.target+" did not finish the TLS handshake in time", "Check the URL's scheme and port, and whether a proxy or firewall blocks TLS.")
	case err != nil:
		return c.handshakeFailure(c.route, err)
	}
	state := secure.ConnectionState()
	return passed(fmt.Sprintf("%s%s, certificate valid until %s", c.proxyPrefix(), tls.VersionName(state.Version), formatDate(state.PeerCertificates[0].NotAfter)))
}

func (c *checker) tlsConfig(host string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Transport.TLSClientConfig != nil {
		config = c.Transport.TLSClientConfig.Clone()
	}
	config.ServerName = host
	config.NextProtos = []string{"h2", "http/1.1"}
	return config
}

func formatDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// connectFailure describes a failed connection to the first hop: the server, or the proxy.
func (r route) connectFailure(err error) Step {
	explained := neterr.Describe("", err)
	result := failed(CauseNetwork, hostPort(r.firstHop())+" "+explained.Detail, explained.Hint)
	if r.proxy != nil {
		result.Text = "the proxy (HTTPS_PROXY) " + result.Text
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		result.Text = r.resolveFailure(dns)
	}
	switch {
	case r.proxy != nil: // nothing is known about the server yet
		result.Advice = "Check HTTPS_PROXY and NO_PROXY, and whether the proxy is running. " + explained.Hint
	case explained.Code == neterr.CodeConnectionRefused:
		result.Cause = r.server.Cause
		result.Advice += " Nothing listens at the address in " + r.server.Variable + ", or a firewall rejects the connection."
	}
	return result
}

func (r route) resolveFailure(dns *net.DNSError) string {
	host := r.firstHop().Hostname()
	if r.proxy != nil {
		host = "the proxy (HTTPS_PROXY) " + host
	}
	switch {
	case dns.IsNotFound:
		return "cannot resolve " + host + ": it has no address"
	case dns.IsTimeout:
		return "cannot resolve " + host + ": the DNS server did not answer in time"
	default:
		return "cannot resolve " + host + ": the DNS server failed, or none is configured"
	}
}
