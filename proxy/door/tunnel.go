package door

import (
	"context"
	"net/http"
	"strings"
)

type tunnelKey struct{}

// WithTunnel marks the requests of a connection that came through a tunnel: by CONNECT, for host. Such a request must be
// for that host, and need show no access key.
func WithTunnel(ctx context.Context, host string) context.Context {
	return context.WithValue(ctx, tunnelKey{}, host)
}

// Tunnelled reports whether a request came through a tunnel.
func Tunnelled(r *http.Request) bool {
	_, ok := tunnelOf(r)
	return ok
}

func tunnelOf(r *http.Request) (host string, ok bool) {
	host, ok = r.Context().Value(tunnelKey{}).(string)
	return host, ok
}

// CheckConnect returns why a tunnel may not be opened, or nil if it may: RFC 9110 section 9.3.6.
func (d *Door) CheckConnect(r *http.Request) *Refusal {
	switch {
	case d.config.Tunnels == nil, Tunnelled(r):
		return methodRefused
	case FromPage(r.Header):
		return browserRefused
	case !d.config.Tunnels(r.RequestURI):
		return tunnelRefused
	case d.config.Keys != nil && !d.shows(r.Header["Proxy-Authorization"]):
		return tunnelKeyRefused
	default:
		return nil
	}
}

// ForLogin reports whether a request that came as to a proxy is for the login server.
func (d *Door) ForLogin(r *http.Request) bool {
	return (r.URL.Host != "" || Tunnelled(r)) && sameHost(r.Host, d.config.Login) && !sameHost(r.Host, d.config.Upstream)
}

// sameHost reports whether two hosts are the same, whether or not they name the usual ports. None is the same as no host.
func sameHost(a, b string) bool {
	return b != "" && strings.EqualFold(withoutUsualPort(a), withoutUsualPort(b))
}

func withoutUsualPort(host string) string {
	return strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
}

var tunnelRefused = &Refusal{
	Reason: Target,
	Status: http.StatusForbidden,
	What:   "a tunnel may lead to the API and its login server alone",
	Advice: "The broker is no general proxy: name other hosts in the app's NO_PROXY, or give it the broker as a proxy for these two alone.",
}

var tunnelKeyRefused = &Refusal{
	Reason: Key,
	Status: http.StatusProxyAuthRequired,
	What:   "the request for a tunnel does not show the broker's access key",
	Advice: "Put it into the proxy's URL as the password: HTTPS_PROXY=http://app:KEY@localhost:8080.",
	Header: http.Header{"Proxy-Authenticate": {`Basic realm="etrusted-broker", charset="UTF-8"`}},
}

// LoginRefused is for what is asked of the login server other than a token.
var LoginRefused = &Refusal{
	Reason: Target,
	Status: http.StatusForbidden,
	What:   "the request is for the login server",
	Advice: "Of that, the broker answers requests for a token alone (POST, with BROKER_STAND_IN_TOKEN on).",
}
