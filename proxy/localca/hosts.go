package localca

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"etrusted-broker/internal/hostport"
)

const defaultPort = "443"

// target is the normalised HOST:PORT of a CONNECT. Equivalent targets are equal.
type target struct{ host, port string }

func parseTargets(hosts []string) ([]target, error) {
	if len(hosts) == 0 {
		return nil, errors.New("the CA needs at least one host")
	}
	targets := make([]target, 0, len(hosts))
	for _, host := range hosts {
		t, ok := parseTarget(host)
		if !ok {
			return nil, fmt.Errorf("%q is not a valid host: use HOST or HOST:PORT, with a name or an IP address", host)
		}
		if t.port == "" {
			t.port = defaultPort
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// parseTarget parses HOST or HOST:PORT; without a port, the port is empty. It is strict: it rejects whatever another
// parser might read as a different host.
func parseTarget(s string) (target, bool) {
	name, port, ok := hostport.Split(s)
	if !ok {
		return target{}, false
	}
	host, ok := canonicalHost(name)
	return target{host, port}, ok
}

// canonicalHost returns the form in which hosts are compared, and false if host is invalid.
func canonicalHost(host string) (string, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		// Certificates can contain neither zones nor IPv4-mapped IPv6 addresses.
		return addr.String(), addr.Zone() == "" && !addr.Is4In6()
	}
	host = strings.TrimSuffix(host, ".")
	labels := strings.Split(host, ".")
	if len(host) > 253 || slices.ContainsFunc(labels, isInvalidLabel) {
		return "", false
	}
	// Some parsers read a name with a numeric last label as an IPv4 address (127.1, 0x7f000001, 127.0.0.1 with a final
	// dot).
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return "", false
	}
	// The name is ASCII here. Otherwise ToLower could turn other letters into ASCII: a Kelvin sign becomes a k.
	return strings.ToLower(host), true
}

func isInvalidLabel(label string) bool {
	const valid = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.Trim(label, valid) != ""
}

// splitNamesAndIPs separates names and IP addresses.
func splitNamesAndIPs(hosts []string) (names []string, addresses []net.IP) {
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			addresses = append(addresses, addr.AsSlice())
		} else {
			names = append(names, host)
		}
	}
	return names, addresses
}
