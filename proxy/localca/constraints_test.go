package localca_test

import (
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// forgeries are certificates that an attacker with the key could sign. Only the first is valid: it shows that the
// others are rejected because of their names.
var forgeries = map[string]struct {
	valid  bool
	change func(*x509.Certificate)
}{
	"a host":        {true, func(c *x509.Certificate) { c.DNSNames = []string{api} }},
	"another":       {false, func(c *x509.Certificate) { c.DNSNames = []string{"evil.example"} }},
	"one more":      {false, func(c *x509.Certificate) { c.DNSNames = []string{api, "evil.example"} }},
	"the parent":    {false, func(c *x509.Certificate) { c.DNSNames = []string{"etrusted.com"} }},
	"all":           {false, func(c *x509.Certificate) { c.DNSNames = []string{"*.com"} }},
	"an address":    {false, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{api}, []net.IP{net.IPv4(127, 0, 0, 1)} }},
	"an address v6": {false, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{api}, []net.IP{net.IPv6loopback} }},
	"an email":      {false, func(c *x509.Certificate) { c.DNSNames, c.EmailAddresses = []string{api}, []string{"a@" + api} }},
	"a URI": {false, func(c *x509.Certificate) {
		c.DNSNames, c.URIs = []string{api}, []*url.URL{{Scheme: "https", Host: api, Path: "/"}}
	}},
	"a client": {false, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{api}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}},
}

func TestConstraintsRejectForgedCertificates(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, both...)
	thief := steal(t, dir)
	// OpenSSL and Go apply the root's constraints, Java only those of intermediates: either must be sufficient.
	for anchor, roots := range map[string]*x509.CertPool{
		"the root":   pool(t, a.CertificatePEM()),
		"the signer": pool(t, pemOf(thief.signer)),
	} {
		for name, test := range forgeries {
			t.Run(anchor+"/"+name, func(t *testing.T) {
				t.Parallel()
				forged, _ := thief.forge(t, test.change)
				options := x509.VerifyOptions{Roots: roots, Intermediates: pool(t, pemOf(thief.signer)), KeyUsages: forged.ExtKeyUsage}
				if _, err := forged.Verify(options); (err == nil) != test.valid {
					t.Error(err)
				}
			})
		}
	}
	// The signer cannot create another CA.
	lower, lowerKey := thief.forge(t, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	leaf, _ := stolen{lower, lowerKey}.forge(t, forgeries["a host"].change)
	options := x509.VerifyOptions{Roots: pool(t, a.CertificatePEM()), Intermediates: pool(t, pemOf(thief.signer), pemOf(lower))}
	if _, err := leaf.Verify(options); err == nil {
		t.Error("a CA below the signer is accepted")
	}
}

func TestConstraintsRejectForgedAddresses(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string][]string{"v4": {"127.0.0.1"}, "v6": {"[::1]"}, "both": {"127.0.0.1", "[::1]"}} {
		dir := inMemory(t)
		a := open(t, dir, hosts...)
		for _, address := range []string{"127.0.0.1", "127.0.0.2", "::1", "::2", "::7f00:1"} {
			valid := false
			for _, host := range hosts {
				valid = valid || strings.Trim(host, "[]") == address
			}
			forged, _ := steal(t, dir).forge(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP(address)} })
			if err := verifyCA(t, a.CertificatePEM(), steal(t, dir), forged); (err == nil) != valid {
				t.Errorf("%s: %s: %v, want valid: %v", name, address, err, valid)
			}
		}
		forged, _ := steal(t, dir).forge(t, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
		if verifyCA(t, a.CertificatePEM(), steal(t, dir), forged) == nil {
			t.Errorf("%s: a name is accepted", name)
		}
	}
}

func verifyCA(t *testing.T, root []byte, thief stolen, cert *x509.Certificate) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool(t, root), Intermediates: pool(t, pemOf(thief.signer))})
	return err
}

// TestOpenSSLEnforcesConstraints checks the TLS library of PHP, Python and Node.
func TestOpenSSLEnforcesConstraints(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := inMemory(t)
	a := open(t, dir, api, "127.0.0.1")
	thief := steal(t, dir)
	write(t, dir, "signer.pem", pemOf(thief.signer))
	check := func(cert *x509.Certificate, options ...string) ([]byte, error) {
		write(t, dir, "leaf.pem", pemOf(cert))
		args := append([]string{"verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", a.CertificatePath(), "-no-CApath",
			"-untrusted", filepath.Join(dir, "signer.pem")}, options...)
		command := exec.Command(openssl, append(args, filepath.Join(dir, "leaf.pem"))...)
		command.Env = append(os.Environ(), "LC_ALL=C")
		return command.CombinedOutput()
	}
	if out, err := check(leafOf(t, a, api), "-verify_hostname", api); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := check(leafOf(t, a, "127.0.0.1"), "-verify_ip", "127.0.0.1"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, name := range []string{"another", "one more", "an address v6", "an email", "a URI", "a client"} {
		forged, _ := thief.forge(t, forgeries[name].change)
		if out, err := check(forged); err == nil {
			t.Errorf("%s: accepted, want a rejection: %s", name, out)
		}
	}
}
