package localca_test

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

func TestPresentsCertificateOnlyForRequestedHost(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), api, login+":8443")
	for name, test := range map[string]struct {
		target, serverName string
		wantErr            string
	}{
		"the API":                   {target: api, serverName: api},
		"with a port":               {target: login + ":8443", serverName: login},
		"in capitals":               {target: strings.ToUpper(api), serverName: api},
		"SNI in capitals":           {target: api, serverName: strings.ToUpper(api)},
		"trailing dot":              {target: api + ".:443", serverName: api},
		"SNI of the other host":     {target: api, serverName: login, wantErr: `requested "login.etrusted.com" in a connection to api.etrusted.com`},
		"SNI of an unknown host":    {target: api, serverName: "evil.example", wantErr: "requested"},
		"SNI of a subdomain":        {target: api, serverName: "a." + api, wantErr: "requested"},
		"unknown target":            {target: "evil.example:443", serverName: "evil.example", wantErr: "is not a configured host"},
		"unknown target, known SNI": {target: "evil.example", serverName: api, wantErr: "is not a configured host"},
		"no target":                 {target: "", serverName: api, wantErr: "is not a configured host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shake(a.TLSConfig(test.target), trusting(t, a, test.serverName))
			switch {
			case test.wantErr == "" && s.err() != nil:
				t.Error(s.err())
			case test.wantErr != "" && (s.servErr == nil || !strings.Contains(s.servErr.Error(), test.wantErr)):
				t.Errorf("server error %v, want %q", s.servErr, test.wantErr)
			case test.wantErr != "" && (s.clientErr == nil || len(s.client.PeerCertificates) > 0):
				t.Errorf("client got %d certificates, error %v; want none and an error", len(s.client.PeerCertificates), s.clientErr)
			}
		})
	}
}

func TestAllowsHandshakeWithoutSNI(t *testing.T) {
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

func TestCertifiesIPAddresses(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), "127.0.0.1:8443", "[::1]:8443", "localhost")
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		leafOf(t, a, host)
	}
	only := open(t, inMemory(t), "127.0.0.1")
	leafOf(t, only, "127.0.0.1")
}

func TestRestrictsTLSVersionsAndProtocols(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), both...)
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"h2":      func(c *tls.Config) { c.NextProtos = []string{"h2"} },
	} {
		client := trusting(t, a, api)
		change(client)
		if s := shake(a.TLSConfig(api), client); s.clientErr == nil || s.servErr == nil {
			t.Errorf("handshake with %s succeeded, want a failure", name)
		}
	}
	client := trusting(t, a, api)
	client.NextProtos = []string{"h2", "http/1.1"}
	if s := shake(a.TLSConfig(api), client); s.err() != nil || s.client.NegotiatedProtocol != "http/1.1" {
		t.Errorf("protocol %q, error %v, want http/1.1", s.client.NegotiatedProtocol, s.err())
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := trusting(t, a, api)
		client.MinVersion, client.MaxVersion = version, version
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		server := a.TLSConfig(api)
		for range 2 {
			if s := shake(server, client); s.err() != nil || s.client.DidResume {
				t.Errorf("%s: resumed %v, error %v, want neither", tls.VersionName(version), s.client.DidResume, s.err())
			}
		}
	}
}

func TestRootCertificate(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, login, api, login+":8443")
	if a.CertificatePath() != filepath.Join(dir, "ca.crt") || !bytes.Equal(read(t, dir, "ca.crt"), a.CertificatePEM()) {
		t.Errorf("%s differs from CertificatePEM", a.CertificatePath())
	}
	block, _ := pem.Decode(a.CertificatePEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^CN=etrusted-broker local CA [a-z2-7]{8},O=etrusted-broker$`).MatchString(root.Subject.String()) {
		t.Errorf("subject %s, want CN=etrusted-broker local CA and 8 letters and digits", root.Subject)
	}
	if !slices.Equal(root.PermittedDNSDomains, both) {
		t.Errorf("permitted names %v, want %v", root.PermittedDNSDomains, both)
	}
	if left := time.Until(a.NotAfter()); left < 3652*24*time.Hour || left > 3653*24*time.Hour || !a.NotAfter().Equal(root.NotAfter) {
		t.Errorf("expires in %v, want 10 years", left)
	}
	if n := root.SerialNumber.BitLen(); n < 96 || n > 159 {
		t.Errorf("serial number has %d bits, want 96 to 159", n)
	}
	if root.KeyUsage != x509.KeyUsageCertSign || len(root.ExtKeyUsage) != 1 || root.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("key usage %v, %v, want only certificate signing for servers", root.KeyUsage, root.ExtKeyUsage)
	}
	if other := open(t, inMemory(t), both...); bytes.Equal(other.CertificatePEM(), a.CertificatePEM()) {
		t.Error("two directories have the same CA")
	}
	// The result is a copy, so that callers cannot change it for others.
	a.CertificatePEM()[0] = 'x'
	pool(t, a.CertificatePEM())
}

func TestDiscardsRootKey(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, both...)
	block, _ := pem.Decode(a.CertificatePEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if steal(t, dir).key.PublicKey.Equal(root.PublicKey) {
		t.Error("ca.key contains the root's key")
	}
	if root.Subject.String() == steal(t, dir).signer.Subject.String() {
		t.Error("root and signer have the same subject")
	}
}

func TestKeepsCAAfterRestart(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	first := open(t, dir, both...)
	second := open(t, dir, login+":8443", api, api) // order, ports and duplicates do not matter
	if !bytes.Equal(first.CertificatePEM(), second.CertificatePEM()) {
		t.Fatal("the CA changed after a restart")
	}
	if s := shake(second.TLSConfig(api), trusting(t, first, api)); s.err() != nil {
		t.Error(s.err())
	}
}
