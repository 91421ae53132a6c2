package server

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/localca"
	"etrusted-broker/tokensource"
)

// interceptedTLSConn is a connection of an app that takes the broker for the API or the login server, because a hosts file, a
// network alias or the DNS leads these names to it.
type interceptedTLSConn struct{ *tls.Conn }

// unknownSNIErrorText is the text of crypto/tls's error for a handshake without a certificate for the client's SNI. It has no type.
const unknownSNIErrorText = "tls: no certificates configured"

// interceptedTunnel is for http1.Server.TunnelOf: an intercepted connection is like a tunnel to the host in its SNI.
func (b *broker) interceptedTunnel(conn net.Conn) any {
	intercepted, ok := conn.(interceptedTLSConn)
	if !ok {
		return nil
	}
	name := intercepted.ConnectionState().ServerName // the handshake has checked it
	target, known := b.servers.hosts.FindByName(name)
	if !known { // the account with this server was removed meanwhile
		target = name
	}
	return &access.Tunnel{Target: target, AnyPort: true}
}

// detectLoop logs an error if an API's name leads to the broker itself.
func (b *broker) detectLoop(ctx context.Context, api *url.URL) {
	if through, err := http.ProxyFromEnvironment(&http.Request{URL: api}); through != nil || err != nil {
		return // it resolves the name
	}
	conn, err := b.tcp.DialContext(ctx, "tcp", dialer.Address(api))
	switch {
	case err == nil:
		_ = conn.Close() // nothing was sent
	case errors.Is(err, neterr.ErrLoop):
		problem := neterr.Describe("the API", err)
		b.log.Error(problem.Detail + ". " + problem.Hint)
	}
}

// OpenOrCreateCA opens the broker's own CA, or creates it, for the hosts of all accounts. It returns nil if none is configured.
func OpenOrCreateCA(c config.Config) (caOrNil *localca.CA, err error) {
	hosts := []string{c.API.Host, c.Login.Host}
	switch {
	case c.InterceptCADir == "":
		return nil, nil
	case c.AccountsDir == "":
		return localca.OpenOrCreate(c.InterceptCADir, hosts)
	}
	accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{
		Dir:    c.AccountsDir,
		Source: tokensource.Config{Endpoint: tokensource.TokenEndpoint{URL: c.TokenURL, Transport: &http.Transport{}}}, // required, but not used without Run
	})
	var apis, logins []*url.URL
	if err == nil { // or else the broker does not start; the command ca can do without
		apis, logins = ownServerURLs(slices.Collect(maps.Values(accounts.ReadEnvironments())))
	}
	return localca.OpenOrCreateForAccounts(c.InterceptCADir, hosts, slices.Concat(hostsOf(apis), hostsOf(logins)))
}
