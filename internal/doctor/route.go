package doctor

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// route is the way to a server: straight, or through a proxy.
type route struct {
	server Server
	target string   // HOST:PORT of the server
	proxy  *url.URL // nil if there is none
}

// route finds out the way to a server, as the transport will. It reports false if the proxy's variable cannot be read.
func (e *examination) route(s Server) (route, bool) {
	r := route{server: s, target: hostPort(s.URL)}
	if e.Transport.Proxy == nil {
		return r, true
	}
	var err error
	r.proxy, err = e.Transport.Proxy(&http.Request{Method: http.MethodGet, URL: s.URL, Header: http.Header{}})
	// A password with a slash in it cuts the address short: what then seems to be the host is half of the password.
	return r, err == nil && (r.proxy == nil || !strings.Contains(r.proxy.Path, "@"))
}

// first is what is connected to.
func (r route) first() *url.URL {
	if r.proxy != nil {
		return r.proxy
	}
	return r.server.URL
}

// via says that there is a proxy, in front of what is found out about it.
func (r route) via() string {
	if r.proxy == nil {
		return ""
	}
	return "through the proxy " + hostPort(r.proxy) + " (HTTPS_PROXY): "
}

// isSOCKS reports whether the proxy is one that only the transport knows how to talk to.
func (r route) isSOCKS() bool {
	return r.proxy != nil && strings.HasPrefix(r.proxy.Scheme, "socks")
}

var ports = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// hostPort is where a URL leads. It never holds the user name and the password, which a proxy's URL may.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme]))
}
