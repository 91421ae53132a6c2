package access

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"etrusted-broker/internal/hostport"
)

// Hosts are the names by which a listener may be addressed. With DNS rebinding a page's own host name leads to this
// machine, and its browser then sends neither Origin nor Sec-Fetch-Site: the Host header alone gives it away.
type Hosts struct {
	names map[string]bool
}

// NewHosts returns Hosts that know the given names beyond those that are always allowed. Case and a final dot do not
// matter, and neither do ports.
func NewHosts(names ...string) *Hosts {
	h := &Hosts{names: map[string]bool{"localhost": true}}
	for _, name := range names {
		name = strings.TrimSpace(name) // a list may have blanks; a Host may not
		if host, _, ok := hostport.Split(name); ok {
			name = host
		}
		if name = canonicalName(name); name != "" {
			h.names[name] = true
		}
	}
	return h
}

// Allowed reports whether the request's Host is localhost, a loopback address, the address of this machine at which the
// request came in, or one of the names. 0.0.0.0 is none of these, whatever the listener is bound to, and neither is
// ::ffff:127.0.0.1: to a browser both are this machine, but none for which it sends Sec-Fetch-Site.
func (h *Hosts) Allowed(r *http.Request) bool {
	host, _, ok := hostport.Split(r.Host)
	if !ok {
		return false
	}
	host = canonicalName(host)
	if h.names[host] {
		return true
	}
	addr, err := netip.ParseAddr(host)
	// A zone means something on one machine alone, and is never sent: RFC 6874 section 1.
	if err != nil || addr.Zone() != "" || addr.Is4In6() {
		return false
	}
	return addr.IsLoopback() || addr == localAddr(r)
}

// localAddr is the address at which the request came in; invalid if it is not known or not IP.
func localAddr(r *http.Request) netip.Addr {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// canonicalName is a name in lower case and without a final dot.
func canonicalName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
