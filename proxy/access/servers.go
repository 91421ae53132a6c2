package access

import (
	"strings"
	"sync/atomic"

	"etrusted-broker/internal/hostport"
)

// Servers are the hosts of the APIs and of the login servers, which change as accounts come and go. All methods are safe for
// concurrent use. A nil *Servers has no hosts.
type Servers struct {
	isAPI atomic.Pointer[map[string]bool] // by canonical host (see CanonicalHost); false for a login server that is no API
}

// NewServers returns Servers with these hosts, each with its port if it has one.
func NewServers(apis, logins []string) *Servers {
	s := new(Servers)
	s.Replace(apis, logins)
	return s
}

// Replace replaces all hosts. Invalid ones are left out.
func (s *Servers) Replace(apis, logins []string) {
	isAPI := map[string]bool{}
	for _, host := range logins {
		isAPI[CanonicalHost(host)] = false
	}
	for _, host := range apis {
		isAPI[CanonicalHost(host)] = true
	}
	delete(isAPI, "") // of an invalid host: otherwise all of them would be in it
	s.isAPI.Store(&isAPI)
}

func (s *Servers) load() map[string]bool {
	if s == nil {
		return nil
	}
	return *s.isAPI.Load()
}

// CanonicalHost returns the form of a host in which equal hosts are equal strings: in lower case, without a final dot, and without a
// default port. It is empty for an invalid host.
func CanonicalHost(host string) string {
	name, port, _ := hostport.Split(host)
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if port = withoutDefaultPort(port); port != "" {
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
	_, found := s.load()[CanonicalHost(host)]
	return found
}

// isOnlyLogin reports whether a host is that of a login server and of no API.
func (s *Servers) isOnlyLogin(host string) bool {
	isAPI, found := s.load()[CanonicalHost(host)]
	return found && !isAPI
}

// FindByName returns the host of a server with the name in host, whatever its port: of an API if there is one, or else of a login
// server. It reports false without either. If several have that name, one of them is returned.
func (s *Servers) FindByName(host string) (found string, ok bool) {
	name, _, _ := hostport.Split(host)
	for _, api := range []bool{true, false} {
		if found, count := s.withName(name, api); count > 0 {
			return found, true
		}
	}
	return "", false
}

// withName returns a host of an API, or else of a login server, with a name, whatever its port, and the number of those.
func (s *Servers) withName(name string, api bool) (found string, count int) {
	for host, isAPI := range s.load() {
		if one, _, _ := hostport.Split(host); one == name && isAPI == api {
			found = host
			count++
		}
	}
	return found, count
}

// addressedAPI returns the API that the client of an allowed request has addressed by its name: see Decision.API.
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
	if found, count := s.withName(name, true); count == 1 {
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
	isAPI := s.load()
	found := isAPI[string(text)] || strings.Contains(name, ":") && isAPI[CanonicalHost(r.Host)]
	return found && (r.AbsoluteForm || !hostport.IsLoopback(name))
}
