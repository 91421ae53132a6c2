package intercept

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const defaultPort = "443"

// target is what a CONNECT may ask for. Two that mean the same are equal.
type target struct{ host, port string }

func parseTargets(hosts []string) ([]target, error) {
	if len(hosts) == 0 {
		return nil, errors.New("a certificate authority needs at least one host")
	}
	targets := make([]target, 0, len(hosts))
	for _, host := range hosts {
		t, ok := parseTarget(host)
		if !ok {
			return nil, fmt.Errorf("%q is no host to make certificates for: write HOST or HOST:PORT, with a name or an IP address", host)
		}
		if t.port == "" {
			t.port = defaultPort
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// hostsOf returns each host once, in an order of its own: that of the configuration does not matter.
func hostsOf(targets []target) []string {
	hosts := make([]string, 0, len(targets))
	for _, t := range targets {
		hosts = append(hosts, t.host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// parseTarget reads HOST or HOST:PORT. It is strict: what another reader might take for another host is none. The port is
// empty if there is none.
func parseTarget(s string) (target, bool) {
	name, port, ok := split(s)
	if !ok || (port != "" && !validPort(port)) {
		return target{}, false
	}
	host, ok := canonical(name)
	return target{host, port}, ok
}

func split(s string) (host, port string, ok bool) {
	if inner, isBracketed := strings.CutPrefix(s, "["); isBracketed {
		host, rest, closed := strings.Cut(inner, "]")
		port, hasPort := strings.CutPrefix(rest, ":")
		return host, port, closed && strings.Contains(host, ":") && hasPort == (port != "")
	}
	if strings.Count(s, ":") > 1 { // an IPv6 address without brackets, which cannot have a port
		return s, "", true
	}
	host, port, hasPort := strings.Cut(s, ":")
	return host, port, hasPort == (port != "")
}

// validPort takes no port in an unusual form, such as 0443: ports are compared as they are written.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == port
}

// canonical returns the one form in which a host is compared, and false if it is none.
func canonical(host string) (string, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		// Neither a zone nor an IPv4 address in IPv6's clothes can stand in a certificate.
		return addr.String(), addr.Zone() == "" && !addr.Is4In6()
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 {
		return "", false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return "", false
		}
	}
	// A number at the end makes it an IPv4 address to some (127.1, 0x7f000001, 127.0.0.1 with a final dot).
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return "", false
	}
	// All is ASCII now. Without that, letters of other scripts would become ASCII here: a Kelvin sign is a k.
	return strings.ToLower(host), true
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// splitAddresses tells the IP addresses from the names.
func splitAddresses(hosts []string) (names []string, addresses []net.IP) {
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			addresses = append(addresses, addr.AsSlice())
		} else {
			names = append(names, host)
		}
	}
	return names, addresses
}
