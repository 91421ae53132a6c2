package localca

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// nonexistentDomain is a domain that cannot exist (RFC 6761 section 6.4). It is the constraint for kinds of names of which none
// is permitted: without a constraint, all names of a kind are permitted.
const nonexistentDomain = "nobody.invalid"

// addNameConstraints limits a CA to the hosts. A permitted name also permits its subdomains; X.509 has no narrower form.
func addNameConstraints(template *x509.Certificate, hosts []string) {
	names, addresses := splitNamesAndIPs(hosts)
	template.PermittedDNSDomainsCritical = true // verifiers without support for name constraints must reject the certificate
	template.PermittedDNSDomains = names
	if len(names) == 0 {
		template.PermittedDNSDomains = []string{nonexistentDomain}
	}
	template.PermittedEmailAddresses = []string{nonexistentDomain}
	template.PermittedURIDomains = []string{nonexistentDomain}

	for _, ip := range addresses {
		bits := 8 * len(ip)
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
	}
	// Address families are excluded one by one: excluding a family would also exclude its permitted addresses, and
	// a permitted address of one family does not reliably exclude the other family.
	for _, length := range []int{net.IPv4len, net.IPv6len} {
		if !slices.ContainsFunc(addresses, func(ip net.IP) bool { return len(ip) == length }) {
			template.ExcludedIPRanges = append(template.ExcludedIPRanges, &net.IPNet{IP: make(net.IP, length), Mask: make(net.IPMask, length)})
		}
	}
}

// hasExactNameConstraints reports whether a certificate has exactly the constraints that addNameConstraints sets.
func hasExactNameConstraints(cert *x509.Certificate, hosts []string) bool {
	var want x509.Certificate
	addNameConstraints(&want, hosts)
	return constraintsOf(cert) == constraintsOf(&want)
}

// constraintsOf returns all name constraints of a certificate, in a form that can be compared.
func constraintsOf(c *x509.Certificate) (comparableText string) {
	return fmt.Sprintf("%t %q", c.PermittedDNSDomainsCritical, []any{
		c.PermittedDNSDomains, c.ExcludedDNSDomains, c.PermittedEmailAddresses, c.ExcludedEmailAddresses,
		c.PermittedURIDomains, c.ExcludedURIDomains, c.PermittedIPRanges, c.ExcludedIPRanges,
	})
}

// permittedHosts returns the hosts that the certificate permits, sorted. A range of several addresses is not a host, so a
// certificate with one does not have the constraints of these hosts.
func permittedHosts(c *x509.Certificate) []string {
	hosts := slices.DeleteFunc(slices.Clone(c.PermittedDNSDomains), func(name string) bool { return name == nonexistentDomain })
	for _, addresses := range c.PermittedIPRanges {
		if ones, bits := addresses.Mask.Size(); ones == bits {
			hosts = append(hosts, addresses.IP.String())
		} else {
			hosts = append(hosts, addresses.String())
		}
	}
	slices.Sort(hosts)
	return hosts
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
