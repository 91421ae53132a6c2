package access

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"etrusted-broker/internal/hostport"
)

// isOtherHost reports whether an absolute-form target names another host than the API, the login server and this broker.
func (p *Policy) isOtherHost(r *Request) bool {
	return !p.APIAndLoginHosts.has(r.Host) && (!p.BrokerHosts.Allowed(r.Host, r.LocalAddr) || p.PassHosts.ListsAddress(r.Host))
}

// checkOtherHost decides whether an absolute-form request for another host passes through. Its path is not checked, since no
// rule depends on it. Authorization is the other host's.
func (p *Policy) checkOtherHost(r *Request) Decision {
	switch {
	case p.PassHosts == nil:
		return Decision{Denied: errOtherHostNotAllowed}
	case MayComeFromWebPage(r.Fields), isSameOriginSubresource(r.Fields):
		return Decision{Denied: errBrowserRequest}
	}
	caller, denied := p.authenticateToProxy(r)
	switch {
	case denied != nil:
	case !p.passes(r.Host):
		denied = errOtherHostNotAllowed
	case asksForUpgradeExceptH2C(r.Fields):
		denied = errUpgradeNotSupported
	case isLoop(r.Fields):
		denied = errLoop
	case r.Target == "":
		denied = errInvalidTarget
	}
	return Decision{Caller: caller, Denied: denied, Pass: denied == nil}
}

// passes reports whether what is for a target, HOST:PORT, passes through. The APIs and the login servers never do, those at a
// default port not at any port either: they would get requests without a token, or with the app's own credentials.
func (p *Policy) passes(target string) bool {
	return p.PassHosts.Match(target) && !p.APIAndLoginHosts.has(target) && !p.APIAndLoginHosts.has(target[:strings.LastIndexByte(target, ':')])
}

// PassHosts are patterns of the hosts whose requests and tunnels pass through the broker without a token. nil matches no host.
type PassHosts []passPattern

// passPattern is a pattern of PassHosts: one host, or with a wildcard all whose names have an end.
type passPattern struct {
	name     string // as hostport.Split returns it; of a wildcard the end, which is empty or begins with a dot
	port     string // empty for every port, and of a wildcard for 443 and 80
	wildcard bool
}

// ParsePassHosts parses patterns: a name, an IP address, *.example.com for all names below that one, or * for every host. Each may
// have a port. Without one, a wildcard matches only the ports 443 and 80, and other patterns match every port. No wildcard matches
// api.etrusted.com and login.etrusted.com. The error contains none of the patterns.
func ParsePassHosts(patterns []string) (hosts PassHosts, _ error) {
	for _, text := range patterns {
		pattern, ok := parsePassPattern(strings.TrimSpace(text))
		if !ok {
			return nil, errors.New("must be hosts separated by commas, such as integrations.etrusted.com, *.example.com or *, each with or without a port, but without a scheme or a path")
		}
		hosts = append(hosts, pattern)
	}
	return hosts, nil
}

func parsePassPattern(text string) (_ passPattern, ok bool) {
	const label = "host" // in place of the wildcard, since Split rejects an empty name
	end, wildcard := strings.CutPrefix(text, "*")
	if wildcard {
		text = label + end
	} else if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() {
		text = "[" + text + "]"
	}
	name, port, ok := hostport.Split(text)
	ok = ok && isUnambiguousHost(name)
	if wildcard {
		name = strings.TrimPrefix(name, label)
		ok = ok && (name == "" && !strings.HasPrefix(end, ".") || strings.HasPrefix(name, "."))
	}
	return passPattern{name, port, wildcard}, ok
}

// Match reports whether a pattern matches a target, HOST:PORT.
func (h PassHosts) Match(target string) bool {
	name, port, ok := hostport.Split(target)
	matches := func(p passPattern) bool { return p.matches(name, port) }
	return ok && port != "" && isUnambiguousHost(name) && slices.ContainsFunc(h, matches)
}

// ListsAddress reports whether the host of a target, HOST:PORT, is an IP address that a pattern names.
func (h PassHosts) ListsAddress(target string) bool {
	name, port, ok := hostport.Split(target)
	names := func(p passPattern) bool { return !p.wildcard && p.matches(name, port) }
	return ok && isIPAddress(name) && slices.ContainsFunc(h, names)
}

func (p passPattern) matches(name, port string) bool {
	switch {
	case p.port != "" && p.port != port, p.port == "" && p.wildcard && port != "443" && port != "80":
		return false
	case p.wildcard && (name == "api.etrusted.com" || name == "login.etrusted.com"):
		return false // a broker for another environment must not lead an app to production by accident
	case p.wildcard:
		return p.name == "" || strings.HasSuffix(name, p.name) && !isIPAddress(name)
	default:
		return name == p.name
	}
}

func isIPAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isUnambiguousHost reports whether a name is an IP address, or can only be a host name. Some programs read a name that ends in a
// number as an IPv4 address (127.1, 0x7f000001), and decode percent-encoded characters: through a proxy, nothing could check that
// address.
func isUnambiguousHost(name string) bool {
	if isIPAddress(name) {
		return true
	}
	const digits, hexadecimal = "0123456789", "0123456789abcdef"
	labels := strings.Split(name, ".")
	isOther := func(label string) bool {
		return label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != ""
	}
	last := labels[len(labels)-1]
	number, isHexadecimal := strings.CutPrefix(last, "0x")
	isNumber := strings.Trim(last, digits) == "" || isHexadecimal && strings.Trim(number, hexadecimal) == ""
	return !isNumber && !slices.ContainsFunc(labels, isOther)
}
