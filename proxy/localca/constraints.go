package localca

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"
)

// noDomain is a domain that cannot exist (RFC 6761 section 6.4). It is the constraint for kinds of names of which none
// is permitted: without a constraint, all names of a kind are permitted.
const noDomain = "nobody.invalid"

// addNameConstraints limits a CA to the hosts. A permitted name also permits its subdomains; X.509 has no narrower form.
func addNameConstraints(template *x509.Certificate, hosts []string) {
	names, addresses := splitNamesAndIPs(hosts)
	template.PermittedDNSDomainsCritical = true // verifiers without support for name constraints must reject the certificate
	template.PermittedDNSDomains = orNoDomain(names)
	template.PermittedEmailAddresses = []string{noDomain}
	template.PermittedURIDomains = []string{noDomain}

	// Address families are excluded one by one: excluding a family would also exclude its permitted addresses, and
	// a permitted address of one family does not reliably exclude the other family.
	unused := map[int]bool{8 * net.IPv4len: true, 8 * net.IPv6len: true}
	for _, ip := range addresses {
		bits := 8 * len(ip)
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
		unused[bits] = false
	}
	for bits, excluded := range unused {
		if excluded {
			template.ExcludedIPRanges = append(template.ExcludedIPRanges, &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)})
		}
	}
}

func orNoDomain(names []string) []string {
	if len(names) == 0 {
		return []string{noDomain}
	}
	return names
}

// isConstrained reports whether a certificate has exactly the constraints that constrain sets.
func isConstrained(cert *x509.Certificate, hosts []string) bool {
	var want x509.Certificate
	addNameConstraints(&want, hosts)
	return slices.Equal(listConstraints(cert), listConstraints(&want))
}

// listConstraints returns a certificate's constraints in a canonical form and order.
func listConstraints(c *x509.Certificate) []string {
	var list []string
	add := func(kind string, values []string) {
		for _, value := range values {
			list = append(list, kind+" "+strings.ToLower(value))
		}
	}
	add("+DNS", c.PermittedDNSDomains)
	add("-DNS", c.ExcludedDNSDomains)
	add("+email", c.PermittedEmailAddresses)
	add("-email", c.ExcludedEmailAddresses)
	add("+URI", c.PermittedURIDomains)
	add("-URI", c.ExcludedURIDomains)
	add("+IP", cidrStrings(c.PermittedIPRanges))
	add("-IP", cidrStrings(c.ExcludedIPRanges))
	if c.PermittedDNSDomainsCritical {
		list = append(list, "critical")
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// permittedHosts returns the hosts that the certificate permits, for an error message.
func permittedHosts(c *x509.Certificate) string {
	var hosts []string
	for _, name := range c.PermittedDNSDomains {
		if name != noDomain {
			hosts = append(hosts, name)
		}
	}
	hosts = append(hosts, cidrStrings(c.PermittedIPRanges)...)
	if len(hosts) == 0 {
		return "any host"
	}
	slices.Sort(hosts)
	return strings.Join(hosts, ", ")
}

func cidrStrings(nets []*net.IPNet) []string {
	list := make([]string, 0, len(nets))
	for _, n := range nets {
		list = append(list, n.String())
	}
	return list
}
