package intercept_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHandshakes(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), api, login+":8443")
	for name, test := range map[string]struct {
		connect, asked string
		isRefused      string
	}{
		"the API":              {connect: api, asked: api},
		"with a port":          {connect: login + ":8443", asked: login},
		"in capitals":          {connect: strings.ToUpper(api), asked: api},
		"asked in capitals":    {connect: api, asked: strings.ToUpper(api)},
		"with a dot":           {connect: api + ".:443", asked: api},
		"the other host":       {connect: api, asked: login, isRefused: `asked for "login.etrusted.com" in a connection to api.etrusted.com`},
		"a stranger":           {connect: api, asked: "evil.example", isRefused: "asked for"},
		"a subdomain":          {connect: api, asked: "a." + api, isRefused: "asked for"},
		"a stranger connected": {connect: "evil.example:443", asked: "evil.example", isRefused: "no certificate is made for"},
		"a stranger's name":    {connect: "evil.example", asked: api, isRefused: "no certificate is made for"},
		"nothing connected":    {connect: "", asked: api, isRefused: "no certificate is made for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shake(a.TLSConfig(test.connect), trusting(t, a, test.asked))
			switch {
			case test.isRefused == "" && s.err() != nil:
				t.Error(s.err())
			case test.isRefused != "" && (s.servErr == nil || !strings.Contains(s.servErr.Error(), test.isRefused)):
				t.Errorf("server: %v", s.servErr)
			case test.isRefused != "" && (s.clientErr == nil || len(s.client.PeerCertificates) > 0):
				t.Errorf("the client has %d certificates, and %v", len(s.client.PeerCertificates), s.clientErr)
			}
		})
	}
}

// TestWithoutSNI has a client that asks for no name, but wants the certificate of one.
func TestWithoutSNI(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), both...)
	for _, host := range both {
		s := shake(a.TLSConfig(host), &tls.Config{InsecureSkipVerify: true})
		if s.err() != nil {
			t.Fatal(s.err())
		}
		if err := s.client.PeerCertificates[0].VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), "127.0.0.1:8443", "[::1]:8443", "localhost")
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		leafOf(t, a, host)
	}
	alone := open(t, inMemory(t), "127.0.0.1")
	leafOf(t, alone, "127.0.0.1")
}

func TestTLSIsNarrow(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), both...)
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"h2":      func(c *tls.Config) { c.NextProtos = []string{"h2"} },
	} {
		client := trusting(t, a, api)
		change(client)
		if s := shake(a.TLSConfig(api), client); s.clientErr == nil || s.servErr == nil {
			t.Errorf("%s is spoken", name)
		}
	}
	client := trusting(t, a, api)
	client.NextProtos = []string{"h2", "http/1.1"}
	if s := shake(a.TLSConfig(api), client); s.err() != nil || s.client.NegotiatedProtocol != "http/1.1" {
		t.Errorf("%q, %v", s.client.NegotiatedProtocol, s.err())
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := trusting(t, a, api)
		client.MinVersion, client.MaxVersion = version, version
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		server := a.TLSConfig(api)
		for range 2 {
			if s := shake(server, client); s.err() != nil || s.client.DidResume {
				t.Errorf("%s: resumed: %v, %v", tls.VersionName(version), s.client.DidResume, s.err())
			}
		}
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, login, api, login+":8443")
	if a.CertificatePath() != filepath.Join(dir, "ca.crt") || !bytes.Equal(read(t, dir, "ca.crt"), a.CertificatePEM()) {
		t.Errorf("%s is another certificate", a.CertificatePath())
	}
	block, _ := pem.Decode(a.CertificatePEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^CN=etrusted-broker local CA [0-9a-f]{8},O=etrusted-broker$`).MatchString(root.Subject.String()) {
		t.Errorf("subject %s", root.Subject)
	}
	if !slices.Equal(root.PermittedDNSDomains, both) {
		t.Errorf("permits %v", root.PermittedDNSDomains)
	}
	if left := time.Until(a.Expires()); left < 3652*24*time.Hour || left > 3653*24*time.Hour || !a.Expires().Equal(root.NotAfter) {
		t.Errorf("expires in %v", left)
	}
	if n := root.SerialNumber.BitLen(); n < 96 || n > 128 {
		t.Errorf("a serial number of %d bits", n)
	}
	if root.KeyUsage != x509.KeyUsageCertSign || len(root.ExtKeyUsage) != 1 || root.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("usage %v, %v", root.KeyUsage, root.ExtKeyUsage)
	}
	if other := open(t, inMemory(t), both...); bytes.Equal(other.CertificatePEM(), a.CertificatePEM()) {
		t.Error("two folders have one authority")
	}
	// What a caller does with it is not what others get.
	a.CertificatePEM()[0] = 'x'
	pool(t, a.CertificatePEM())
}

// TestRootsKeyIsForgotten has nothing in the folder that could sign a certificate as the root.
func TestRootsKeyIsForgotten(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, both...)
	block, _ := pem.Decode(a.CertificatePEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if steal(t, dir).key.PublicKey.Equal(root.PublicKey) {
		t.Error("the key that is kept is the root's")
	}
	if root.Subject.String() == steal(t, dir).signer.Subject.String() {
		t.Error("the signer looks like the root renewed")
	}
}

func TestSameAfterRestart(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	first := open(t, dir, both...)
	second := open(t, dir, login+":8443", api, api) // neither order nor ports nor repetition make it another
	if !bytes.Equal(first.CertificatePEM(), second.CertificatePEM()) {
		t.Fatal("another authority")
	}
	if s := shake(second.TLSConfig(api), trusting(t, first, api)); s.err() != nil {
		t.Error(s.err())
	}
}
