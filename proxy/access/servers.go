package access

import (
	"strings"
	"sync/atomic"

	"etrusted-broker/internal/hostport"
)

// Servers are the hosts of the APIs and of the login servers, which change as accounts come and go. All methods are safe for
// concurrent use. A nil *Servers has no hosts.
type Servers struct {
	hosts atomic.Pointer[serverHosts]
}

// serverHosts has canonical hosts (see CanonicalHost). It is never modified.
type serverHosts struct{ apis, logins map[string]bool }

// NewServers returns Servers with these hosts, each with its port if it has one.
func NewServers(apis, logins []string) *Servers {
	s := new(Servers)
	s.Replace(apis, logins)
	return s
}

// Replace replaces all hosts.
func (s *Servers) Replace(apis, logins []string) {
	s.hosts.Store(&serverHosts{canonicalHostSet(apis), canonicalHostSet(logins)})
}

// canonicalHostSet leaves out invalid hosts.
func canonicalHostSet(hosts []string) map[string]bool {
	canonical := map[string]bool{}
	for _, host := range hosts {
		canonical[CanonicalHost(host)] = true
	}
	delete(canonical, "") // of an invalid host: otherwise all of them would be in the set
	return canonical
}

func (s *Servers) load() *serverHosts {
	if s == nil {
		return new(serverHosts)
	}
	return s.hosts.Load()
}

// CanonicalHost returns the form of a host in which equal hosts are equal strings: in lower case, without a final dot, and without a
// default port. It is empty for an invalid host.
func CanonicalHost(host string) string {
	name, port, _ := hostport.Split(host)
	return joinHost(name, withoutDefaultPort(port))
}

func joinHost(name, port string) string {
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if port != "" {
		name += ":" + port
	}
	return name
}

func withoutDefaultPort(port string) string {
	if port == "80" || port == "443" {
		return ""
	}
	return port
}

// has reports whether a host is that of an API or a login server.
func (s *Servers) has(host string) bool {
	hosts, canonical := s.load(), CanonicalHost(host)
	return hosts.apis[canonical] || hosts.logins[canonical]
}

// isOnlyLogin reports whether a host is that of a login server and of no API.
func (s *Servers) isOnlyLogin(host string) bool {
	hosts, canonical := s.load(), CanonicalHost(host)
	return hosts.logins[canonical] && !hosts.apis[canonical]
}

// owns reports whether a target, HOST:PORT, is at the host of a server: at its port, or at any if that is the default.
func (s *Servers) owns(target string) bool {
	name, _, _ := hostport.Split(target)
	return s.has(joinHost(name, "")) || s.has(target)
}

// FindByName returns the host of a server with the name in host, whatever its port: of an API if there is one, or else of a login
// server. It reports false without either. If several have that name, one of them is returned.
func (s *Servers) FindByName(host string) (found string, ok bool) {
	name, _, _ := hostport.Split(host)
	hosts := s.load()
	for _, set := range []map[string]bool{hosts.apis, hosts.logins} {
		if found, count := hostWithName(set, name); count > 0 {
			return found, true
		}
	}
	return "", false
}

// hostWithName returns a host with a name, whatever its port, and the number of those.
func hostWithName(hosts map[string]bool, name string) (found string, count int) {
	for host := range hosts {
		if one, _, _ := hostport.Split(host); one == name {
			found = host
			count++
		}
	}
	return found, count
}

// addressed returns the API that the client of an allowed request has addressed by its name: see Decision.API.
func (s *Servers) addressedAPI(r *Request) string {
	switch {
	case r.Tunnel == nil && !s.hasAPIHost(r):
		return ""
	case r.Tunnel == nil:
		return CanonicalHost(r.Host)
	case !r.Tunnel.AnyPort:
		return CanonicalHost(r.Tunnel.Target)
	}
	// The broker may listen at another port than the API. Only if several APIs have that name, the port in the Host field counts.
	name, _, _ := hostport.Split(r.Host)
	if found, count := hostWithName(s.load().apis, name); count == 1 {
		return found
	}
	return CanonicalHost(r.Host)
}

// hasAPIHost reports whether the host of a request that came through no tunnel is that of an API. The Host field may be if the
// client uses a Unix socket, or if the operator has allowed this name. A loopback name there is the broker's. This is called for
// each request, and does not allocate.
func (s *Servers) hasAPIHost(r *Request) bool {
	name, port, _ := hostport.Split(r.Host)
	var key [300]byte // more than a name has
	text := append(key[:0], name...)
	if port = withoutDefaultPort(port); port != "" {
		text = append(append(text, ':'), port...)
	}
	apis := s.load().apis
	found := apis[string(text)] || strings.Contains(name, ":") && apis[CanonicalHost(r.Host)]
	return found && (r.AbsoluteForm || !hostport.IsLoopback(name))
}
