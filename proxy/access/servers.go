package access

import (
	"strings"
	"sync/atomic"

	"etrusted-broker/internal/hostport"
)

// APIAndLoginHosts are the hosts of the APIs and of the login servers, which change as accounts come and go. All methods are safe
// for concurrent use. A nil *APIAndLoginHosts has no hosts.
type APIAndLoginHosts struct {
	byHost atomic.Pointer[map[comparableHost]apiOrLoginHost]
}

// apiOrLoginHost is the host of an API, or of a login server that is no API.
type apiOrLoginHost struct {
	canonical string // see CanonicalHost
	isAPI     bool
}

// comparableHost is a host in a form in which equal hosts are equal. port is empty for the default ports, and name for an invalid
// host.
type comparableHost struct{ name, port string }

func comparableHostOf(host string) comparableHost {
	name, port, _ := hostport.Split(host)
	if port == "80" || port == "443" {
		port = ""
	}
	return comparableHost{name, port}
}

// CanonicalHost returns the form of a host in which equal hosts are equal strings: in lower case, without a final dot, and without
// a default port. It is empty for an invalid host.
func CanonicalHost(host string) string {
	key := comparableHostOf(host)
	if strings.Contains(key.name, ":") {
		key.name = "[" + key.name + "]"
	}
	if key.port == "" {
		return key.name
	}
	return key.name + ":" + key.port
}

// NewAPIAndLoginHosts returns APIAndLoginHosts with these hosts, each with its port if it has one.
func NewAPIAndLoginHosts(apis, logins []string) *APIAndLoginHosts {
	h := new(APIAndLoginHosts)
	h.Replace(apis, logins)
	return h
}

// Replace replaces all hosts. Invalid ones are left out.
func (h *APIAndLoginHosts) Replace(apis, logins []string) {
	byHost := map[comparableHost]apiOrLoginHost{}
	for _, host := range logins {
		byHost[comparableHostOf(host)] = apiOrLoginHost{CanonicalHost(host), false}
	}
	for _, host := range apis {
		byHost[comparableHostOf(host)] = apiOrLoginHost{CanonicalHost(host), true}
	}
	delete(byHost, comparableHost{}) // of an invalid host: otherwise all of them would be in it
	h.byHost.Store(&byHost)
}

func (h *APIAndLoginHosts) load() map[comparableHost]apiOrLoginHost {
	if h == nil {
		return nil
	}
	return *h.byHost.Load()
}

// has reports whether a host is that of an API or a login server.
func (h *APIAndLoginHosts) has(host string) bool {
	_, found := h.load()[comparableHostOf(host)]
	return found
}

// isOnlyLogin reports whether a host is that of a login server and of no API.
func (h *APIAndLoginHosts) isOnlyLogin(host string) bool {
	server, found := h.load()[comparableHostOf(host)]
	return found && !server.isAPI
}

// FindByName returns the host of a server with the name in host, whatever its port: of an API if there is one, or else of a login
// server. It reports false without either. If several have that name, one of them is returned.
func (h *APIAndLoginHosts) FindByName(host string) (found string, ok bool) {
	for _, isAPI := range []bool{true, false} {
		if found, count := h.withName(comparableHostOf(host).name, isAPI); count > 0 {
			return found, true
		}
	}
	return "", false
}

// withName returns a server with a name, whatever its port (an API if isAPI, otherwise a login server), and how many there are.
func (h *APIAndLoginHosts) withName(name string, isAPI bool) (found string, count int) {
	for key, server := range h.load() {
		if key.name == name && server.isAPI == isAPI {
			found = server.canonical
			count++
		}
	}
	return found, count
}

// addressedAPI returns the API that the client of an allowed request has addressed by its name: see Decision.API. It is called for
// each request.
func (h *APIAndLoginHosts) addressedAPI(r *Request) string {
	if r.Tunnel != nil && !r.Tunnel.AnyPort {
		return CanonicalHost(r.Tunnel.Target)
	}
	key := comparableHostOf(r.Host)
	if r.Tunnel != nil {
		// The broker may listen at another port than the API. Only if several APIs have that name, the port in the Host field counts.
		if found, count := h.withName(key.name, true); count == 1 {
			return found
		}
		return CanonicalHost(r.Host)
	}
	// The Host field may be that of an API if the client uses a Unix socket, or if the operator has allowed this name. A loopback
	// name there is the broker's.
	if server := h.load()[key]; server.isAPI && (r.AbsoluteForm || !hostport.IsLoopback(key.name)) {
		return server.canonical
	}
	return ""
}
