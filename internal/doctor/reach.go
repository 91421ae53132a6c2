package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"etrusted-broker/internal/neterr"
)

// reach goes the way to a server up to the end of the TLS handshake, and reports whether it is open. Each step connects
// anew: a connection that was good a moment ago is no step taken.
func (e *examination) reach(ctx context.Context, s Server) bool {
	step := func(name, target string) Step { return Step{Name: s.Name + ": " + name, Target: target} }
	r, ok := e.route(s)
	if !ok {
		// The error quotes the variable, which may hold a password.
		return e.step(ctx, step("proxy", ""), func(context.Context) finding {
			return finding{text: "HTTPS_PROXY is not a URL", fault: Configuration, advice: "Set it as http://HOST:PORT, or unset it; in a password, / is written %2F, @ is %40 and : is %3A."}
		})
	}
	first := r.first()
	steps := []struct {
		name, target string
		taken        bool
		look         func(context.Context) finding
	}{
		{"DNS", first.Hostname(), true, func(ctx context.Context) finding { return e.lookUp(ctx, r) }},
		{"TCP", hostPort(first), true, func(ctx context.Context) finding { return e.dial(ctx, r) }},
		{"proxy", hostPort(first), r.proxy != nil && !r.isSOCKS(), func(ctx context.Context) finding { return e.tunnel(ctx, r) }},
		{"TLS", r.target, s.URL.Scheme == "https" && !r.isSOCKS(), func(ctx context.Context) finding { return e.handshake(ctx, r) }},
	}
	failed := ""
	for _, next := range steps {
		switch {
		case !next.taken:
		case failed != "":
			e.skip(ctx, step(next.name, next.target), "not tried, since "+failed+" failed")
		case !e.step(ctx, step(next.name, next.target), next.look):
			failed = next.name
		}
	}
	return failed == ""
}

func (e *examination) lookUp(ctx context.Context, r route) finding {
	host := r.first().Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return fine(r.via() + host + " is an address, so there is nothing to look up")
	}
	resolver := e.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return r.unreached(err)
	}
	noun := "addresses"
	if len(addresses) == 1 {
		noun = "address"
	}
	return fine(fmt.Sprintf("%s%s has %d %s", r.via(), host, len(addresses), noun))
}

func (e *examination) dial(ctx context.Context, r route) finding {
	conn, err := e.connect(ctx, r)
	if err != nil {
		return r.unreached(err)
	}
	defer func() { _ = conn.Close() }() // that it came about is all that was to be known
	text := r.via() + "connected to " + conn.RemoteAddr().String()
	if r.isSOCKS() {
		text += "; what lies behind a SOCKS proxy shows with the token"
	}
	return fine(text)
}

func (e *examination) connect(ctx context.Context, r route) (net.Conn, error) {
	dial := e.Transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, "tcp", hostPort(r.first()))
}

func (e *examination) handshake(ctx context.Context, r route) finding {
	if e.endless != "" {
		return finding{text: "not tried, since " + e.endless + " would be read for certificates", fault: Configuration, advice: "Name a file in SSL_CERT_FILE, or unset it."}
	}
	conn, err := e.open(ctx, r)
	if err != nil {
		return r.unopened(ctx, err)
	}
	defer func() { _ = conn.Close() }() // that it came about is all that was to be known
	secure := tls.Client(conn, e.tlsConfig(r.server.URL.Hostname()))
	err = secure.HandshakeContext(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // it is not told apart from an answer that is late
		return finding{text: r.target + " did not finish the TLS handshake in time", fault: Network, advice: "Check the URL's scheme and port, and whether a proxy or a firewall stands in the way: it may let connections through, but not what is in them."}
	case err != nil:
		return e.untrusted(r, err)
	}
	state := secure.ConnectionState()
	return fine(fmt.Sprintf("%s%s, certificate valid until %s", r.via(), tls.VersionName(state.Version), day(state.PeerCertificates[0].NotAfter)))
}

func (e *examination) tlsConfig(host string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.Transport.TLSClientConfig != nil {
		config = e.Transport.TLSClientConfig.Clone()
	}
	config.ServerName = host
	config.NextProtos = []string{"h2", "http/1.1"}
	return config
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// unreached puts into words that what is connected to, the server or the proxy, is not there.
func (r route) unreached(err error) finding {
	explained := neterr.Describe("", err)
	target := hostPort(r.first())
	found := finding{text: target + " " + explained.Detail, fault: Network, advice: explained.Hint}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		found.text = r.first().Hostname() + " " + explained.Detail
		if !dns.IsNotFound && !dns.IsTimeout {
			found.text = r.first().Hostname() + " was not found: the name server could not tell, or there is none"
		}
	}
	switch {
	case r.proxy != nil: // nothing is known of the server yet
		found.text = "the proxy (HTTPS_PROXY) " + found.text
		found.advice = "Check HTTPS_PROXY and NO_PROXY, and whether the proxy runs. " + explained.Hint
	case explained.Code == neterr.CodeConnectionRefused:
		found.fault = r.server.Fault
		found.advice += " Nothing listens at the address in " + r.server.Variable + ", or a firewall says so in its place."
	}
	return found
}
