package intercept

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"
)

// nobody is a domain that cannot exist (RFC 6761, section 6.4). A kind of name of which none is permitted must have a
// constraint all the same: a kind without any is free.
const nobody = "nobody.invalid"

// constrain limits an authority to the hosts. A permitted name permits its subdomains too; X.509 has no narrower form.
func constrain(template *x509.Certificate, hosts []string) {
	names, addresses := splitAddresses(hosts)
	template.PermittedDNSDomainsCritical = true // one who does not know name constraints must refuse the certificate
	template.PermittedDNSDomains = orNobody(names)
	template.PermittedEmailAddresses = []string{nobody}
	template.PermittedURIDomains = []string{nobody}

	// The families are excluded one by one: to exclude one of which an address is permitted would exclude that too, and an
	// address of the other family may count as not mentioned.
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

func orNobody(names []string) []string {
	if len(names) == 0 {
		return []string{nobody}
	}
	return names
}

// isConstrained says whether a certificate has the constraints that constrain makes, and no others.
func isConstrained(cert *x509.Certificate, hosts []string) bool {
	var want x509.Certificate
	constrain(&want, hosts)
	return slices.Equal(listConstraints(cert), listConstraints(&want))
}

// listConstraints writes a certificate's constraints in a form and an order of their own.
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
	add("+IP", ranges(c.PermittedIPRanges))
	add("-IP", ranges(c.ExcludedIPRanges))
	if c.PermittedDNSDomainsCritical {
		list = append(list, "critical")
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// permittedHosts is the list for an error: what the certificate is for, as far as it says so.
func permittedHosts(c *x509.Certificate) string {
	var hosts []string
	for _, name := range c.PermittedDNSDomains {
		if name != nobody {
			hosts = append(hosts, name)
		}
	}
	hosts = append(hosts, ranges(c.PermittedIPRanges)...)
	if len(hosts) == 0 {
		return "any host"
	}
	slices.Sort(hosts)
	return strings.Join(hosts, ", ")
}

func ranges(nets []*net.IPNet) []string {
	list := make([]string, 0, len(nets))
	for _, n := range nets {
		list = append(list, n.String())
	}
	return list
}
