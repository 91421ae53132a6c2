package access

import (
	"context"
	"net"
	"net/http"
	"strings"

	"etrusted-broker/internal/hostport"
)

type tunnelKey struct{}

// tunnel is what is known of one: whom it leads to, and the Proxy-Authorization with which it was asked for.
type tunnel struct {
	host  string
	shown []string
}

// WithTunnel marks the requests of a connection that came through the tunnel which connect asked for. Such a request must
// be for that tunnel's host. It need show no access key, as long as the one is valid that connect has shown.
func WithTunnel(ctx context.Context, connect *http.Request) context.Context {
	return context.WithValue(ctx, tunnelKey{}, tunnel{connect.RequestURI, connect.Header["Proxy-Authorization"]})
}

// Tunnelled reports whether a request came through a tunnel.
func Tunnelled(r *http.Request) bool {
	_, ok := tunnelOf(r)
	return ok
}

func tunnelOf(r *http.Request) (t tunnel, ok bool) {
	t, ok = r.Context().Value(tunnelKey{}).(tunnel)
	return t, ok
}

// CheckConnect returns why a tunnel may not be opened, or nil if it may: RFC 9110 section 9.3.6.
func (d *Policy) CheckConnect(r *http.Request) *Refusal {
	switch {
	case d.distrustsClient(r):
		return certificateRefused
	case d.config.TunnelAllowed == nil, Tunnelled(r):
		return methodRefused
	case IsBrowserRequest(r.Header):
		return browserRefused
	case !d.config.TunnelAllowed(r.RequestURI):
		return tunnelRefused
	case d.config.Keys != nil && !d.hasValidKey(r.Header["Proxy-Authorization"]):
		return tunnelKeyRefused
	default:
		return nil
	}
}

// TargetsLoginServer reports whether a request that came as to a proxy is for the login server.
func (d *Policy) TargetsLoginServer(r *http.Request) bool {
	return (r.URL.Host != "" || Tunnelled(r)) && sameHost(r.Host, d.config.LoginHost) && !sameHost(r.Host, d.config.UpstreamHost)
}

// sameHost reports whether two hosts are the same, whether or not they name the usual ports and end with a dot. None is
// the same as no host.
func sameHost(a, b string) bool {
	return b != "" && strings.EqualFold(plainHost(a), plainHost(b))
}

func plainHost(host string) string {
	name, port, ok := hostport.Split(host)
	if !ok {
		return host
	}
	if port == "80" || port == "443" {
		port = ""
	}
	return net.JoinHostPort(strings.TrimSuffix(name, "."), port)
}

var tunnelRefused = &Refusal{
	Reason: ReasonTarget,
	Status: http.StatusForbidden,
	What:   "a tunnel may lead to the API and its login server alone",
	Advice: "The broker is no general proxy: name other hosts in the app's NO_PROXY, or give it the broker as a proxy for these two alone.",
}

var tunnelKeyRefused = &Refusal{
	Reason: ReasonKey,
	Status: http.StatusProxyAuthRequired,
	What:   "the request for a tunnel does not show the broker's access key",
	Advice: "Put it into the proxy's URL as the password: HTTPS_PROXY=http://app:KEY@localhost:8080.",
	Header: http.Header{"Proxy-Authenticate": {`Basic realm="etrusted-broker", charset="UTF-8"`}},
}

// staleTunnelRefused closes the connection: the app has to ask for another tunnel, with the key that is valid now.
var staleTunnelRefused = &Refusal{
	Reason: ReasonKey,
	Status: http.StatusUnauthorized,
	What:   "the access key with which the tunnel was asked for is no longer valid",
	Advice: "Ask for another, with the new key in the proxy's URL.",
	Header: http.Header{"Connection": {"close"}, "Www-Authenticate": keyRefused.Header["Www-Authenticate"]},
}

// DeniedLogin is for what is asked of the login server other than a token.
var DeniedLogin = &Refusal{
	Reason: ReasonTarget,
	Status: http.StatusForbidden,
	What:   "the request is for the login server",
	Advice: "Of that, the broker answers requests for a token alone (POST, with BROKER_TOKEN_ENDPOINT on).",
}
