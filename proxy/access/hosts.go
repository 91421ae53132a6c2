package access

import (
	"net"
	"net/netip"
	"strings"

	"etrusted-broker/internal/hostport"
)

// BrokerHosts are the names by which clients may call a listener of the broker. With DNS rebinding, a page's own host name leads to
// this machine, and its browser then sends neither Origin nor Sec-Fetch-Site: only the Host field reveals it. The zero value has no
// names.
type BrokerHosts map[string]bool

// NewBrokerHosts returns BrokerHosts that allow the given names besides those that are always allowed. Case, a final dot and ports
// do not matter.
func NewBrokerHosts(names ...string) BrokerHosts {
	h := BrokerHosts{}
	for _, name := range names {
		name = strings.TrimSpace(name) // a list may contain spaces; a Host may not
		if addr, err := netip.ParseAddr(name); err == nil && addr.Is6() {
			name = "[" + name + "]"
		}
		if host, _, ok := hostport.Split(name); ok {
			h[host] = true
		}
	}
	return h
}

// Allowed reports whether host, the value of a Host field, is localhost, a loopback address, one of the names, or the IP address
// at which the request arrived: the local address of its connection, which may be nil. 0.0.0.0 is not allowed, whatever the
// listener is bound to, and neither is ::ffff:127.0.0.1: browsers take both for this machine, but send them no Sec-Fetch-Site.
func (h BrokerHosts) Allowed(host string, local net.Addr) bool {
	name, _, ok := hostport.Split(host)
	if !ok || name == "localhost" || h[name] {
		return ok
	}
	addr, err := netip.ParseAddr(name)
	if err != nil || addr.Is4In6() {
		return false
	}
	tcp, isTCP := local.(*net.TCPAddr)
	return addr.IsLoopback() || isTCP && addr == tcp.AddrPort().Addr().Unmap()
}
