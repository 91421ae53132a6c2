package check

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// route is how a server is reached: directly, or through a proxy.
type route struct {
	server Server
	target string   // HOST:PORT of the server
	proxy  *url.URL // nil for a direct connection
}

// route returns the route that the transport takes. It reports false if the proxy variable is invalid.
func (c *checker) route(s Server) (route, bool) {
	r := route{server: s, target: hostPort(s.URL)}
	if c.Transport.Proxy == nil {
		return r, true
	}
	var err error
	r.proxy, err = c.Transport.Proxy(&http.Request{Method: http.MethodGet, URL: s.URL, Header: http.Header{}})
	// A slash in the password ends the authority part of the URL: what looks like the host is then half of the password.
	return r, err == nil && (r.proxy == nil || !strings.Contains(r.proxy.Path, "@"))
}

// firstHop is the server that is connected to: the proxy, or the server itself.
func (r route) firstHop() *url.URL {
	if r.proxy != nil {
		return r.proxy
	}
	return r.server.URL
}

// proxyPrefix is the prefix of texts about the proxy; empty for a direct connection.
func (r route) proxyPrefix() string {
	if r.proxy == nil {
		return ""
	}
	return "through the proxy " + hostPort(r.proxy) + " (HTTPS_PROXY): "
}

// isSOCKS reports whether the proxy is a SOCKS proxy, which only the transport supports.
func (r route) isSOCKS() bool {
	return r.proxy != nil && strings.HasPrefix(r.proxy.Scheme, "socks")
}

var ports = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// hostPort returns the HOST:PORT of a URL, without the user name and password that a proxy's URL may contain.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme]))
}
