package localca_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/localca"
)

// Each case breaks the valid CA in dir; other contains a second one.
func TestRejectsBrokenFiles(t *testing.T) {
	t.Parallel()
	const (
		replace = "remove ca.crt and ca.key, restart the broker, and make the apps trust the new ca.crt"
		another = "is not the certificate in ca.key: remove ca.crt, and the broker creates it again"
		broken  = "is not a PEM file with two certificates and a private key: restore the original file, or " + replace
	)
	for name, test := range map[string]struct {
		change func(t *testing.T, dir, other string)
		file   string
		want   string
	}{
		"only the certificate": {without("ca.key"), "ca.crt", "exists without ca.key: restore ca.key, or " + replace},
		"empty certificate":    {with("ca.crt", ""), "ca.crt", another},
		"empty key":            {with("ca.key", ""), "ca.key", broken},
		"no certificate":       {with("ca.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), "ca.crt", another},
		"half a certificate": {func(t *testing.T, dir, _ string) {
			write(t, dir, "ca.crt", read(t, dir, "ca.crt")[:400])
		}, "ca.crt", another},
		"half a key": {func(t *testing.T, dir, _ string) {
			key := read(t, dir, "ca.key")
			write(t, dir, "ca.key", key[:len(key)-100])
		}, "ca.key", broken},
		"the key where the certificate should be": {func(t *testing.T, dir, _ string) {
			write(t, dir, "ca.crt", read(t, dir, "ca.key"))
		}, "ca.crt", another},
		"the certificate where the key should be": {func(t *testing.T, dir, _ string) {
			write(t, dir, "ca.key", read(t, dir, "ca.crt"))
		}, "ca.key", broken},
		"a second certificate that apps would trust": {func(t *testing.T, dir, other string) {
			write(t, dir, "ca.crt", append(read(t, dir, "ca.crt"), read(t, other, "ca.crt")...))
		}, "ca.crt", another},
		"one before it that apps might trust": {func(t *testing.T, dir, _ string) {
			write(t, dir, "ca.crt", append([]byte("-----BEGIN X509 CERTIFICATE-----\n???\n"), read(t, dir, "ca.crt")...))
		}, "ca.crt", another},
		"a changed certificate": {func(t *testing.T, dir, _ string) {
			block, _ := pem.Decode(read(t, dir, "ca.crt"))
			block.Bytes[len(block.Bytes)-1] ^= 1 // of the signature
			write(t, dir, "ca.crt", pem.EncodeToMemory(block))
		}, "ca.crt", another},
		"certificate of another CA": {func(t *testing.T, dir, other string) {
			write(t, dir, "ca.crt", read(t, other, "ca.crt"))
		}, "ca.crt", another},
		"a changed certificate in the key": {func(t *testing.T, dir, _ string) {
			signer, rest := pem.Decode(read(t, dir, "ca.key"))
			root, key := pem.Decode(rest)
			root.Bytes[len(root.Bytes)-1] ^= 1 // of the signature
			write(t, dir, "ca.key", slices.Concat(pem.EncodeToMemory(signer), pem.EncodeToMemory(root), key))
		}, "ca.key", "is not a CA that the broker created"},
		"the key without its CA": {func(t *testing.T, dir, _ string) {
			signer, rest := pem.Decode(read(t, dir, "ca.key"))
			_, key := pem.Decode(rest)
			write(t, dir, "ca.key", append(pem.EncodeToMemory(signer), key...))
		}, "ca.key", broken},
		"key of another CA": {func(t *testing.T, dir, other string) {
			mine, theirs := keyIn(t, dir), keyIn(t, other)
			write(t, dir, "ca.key", bytes.ReplaceAll(read(t, dir, "ca.key"), mine, theirs))
		}, "ca.key", broken},
		"a key that is too large": {func(t *testing.T, dir, _ string) {
			write(t, dir, "ca.key", append(read(t, dir, "ca.key"), make([]byte, 1<<20)...))
		}, "ca.key", "is too large"},
		"a directory": {func(t *testing.T, dir, _ string) {
			without("ca.crt")(t, dir, "")
			must(t, os.Mkdir(filepath.Join(dir, "ca.crt"), 0o700))
		}, "ca.crt", "is not a regular file"},
		"a dangling link": {func(t *testing.T, dir, _ string) {
			without("ca.key")(t, dir, "")
			must(t, os.Symlink("nowhere", filepath.Join(dir, "ca.key")))
		}, "ca.key", "is not readable"},
		"a link out of the directory": {func(t *testing.T, dir, other string) {
			without("ca.key")(t, dir, "")
			must(t, os.Symlink(filepath.Join(other, "ca.key"), filepath.Join(dir, "ca.key")))
		}, "ca.key", "is not readable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, other := inMemory(t), inMemory(t)
			open(t, dir, both...)
			open(t, other, both...)
			test.change(t, dir, other)
			checkRejected(t, dir, both, filepath.Join(dir, test.file)+" ", test.want)
		})
	}
}

func TestRejectsCAForOtherHosts(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string][]string{
		"one more":     {api, login, "127.0.0.1"},
		"one less":     {api},
		"another":      {api, "login.example"},
		"an address":   {"127.0.0.1"},
		"a subdomain":  {api, "a." + login},
		"one name off": {api, "logi.etrusted.com"},
	} {
		dir := inMemory(t)
		open(t, dir, both...)
		t.Run(name, func(t *testing.T) {
			checkRejected(t, dir, hosts, filepath.Join(dir, "ca.key")+" ", "is for api.etrusted.com, login.etrusted.com, but the configured hosts are ",
				"configure the old hosts again, or remove ca.crt and ca.key, restart the broker, and make the apps trust the new ca.crt")
		})
	}
}

func TestRejectsKeyAccessibleToOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	dir := inMemory(t)
	open(t, dir, both...)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644, 0o666, 0o610, 0o777} {
		must(t, os.Chmod(filepath.Join(dir, "ca.key"), mode))
		checkRejected(t, dir, both, filepath.Join(dir, "ca.key")+" ", fmt.Sprintf("has mode %#o", mode), "chmod 600")
	}
	for _, mode := range []os.FileMode{0o400, 0o600, 0o700} {
		must(t, os.Chmod(filepath.Join(dir, "ca.key"), mode))
		open(t, dir, both...)
	}
}

func TestRejectsMissingDirectory(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	missing := filepath.Join(dir, "missing")
	if _, err := localca.OpenOrCreate(missing, both); err == nil || !strings.HasPrefix(err.Error(), "the directory "+missing+" cannot be used: ") {
		t.Error(err)
	}
	write(t, dir, "file", nil)
	if _, err := localca.OpenOrCreate(filepath.Join(dir, "file"), both); err == nil || !strings.Contains(err.Error(), "file cannot be used: ") {
		t.Error(err)
	}
	if names := list(t, dir); len(names) != 1 {
		t.Errorf("files %v, want only the test's own", names)
	}
}

// Kubernetes mounts a secret's files as symbolic links.
func TestReadsSymlinkedFiles(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	open(t, dir, both...)
	must(t, os.Mkdir(filepath.Join(dir, "..data"), 0o700))
	for _, name := range []string{"ca.crt", "ca.key"} {
		must(t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, "..data", name)))
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	open(t, dir, both...)
}

// Copying a file through Windows can change its line breaks.
func TestAcceptsCRLF(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, both...)
	write(t, dir, "ca.crt", bytes.ReplaceAll(read(t, dir, "ca.crt"), []byte("\n"), []byte("\r\n")))
	if !bytes.Equal(open(t, dir, both...).CertificatePEM(), a.CertificatePEM()) {
		t.Error("the certificate differs from the original")
	}
}

// The bubble's clock is in the year 2000.
func TestRejectsExpiredAndFutureCA(t *testing.T) {
	t.Parallel()
	old, today := inMemory(t), inMemory(t)
	open(t, today, both...)
	synctest.Test(t, func(t *testing.T) {
		open(t, old, both...)
		checkRejected(t, today, both, filepath.Join(today, "ca.key")+" ", "is not valid before 20", "correct this machine's clock")
	})
	checkRejected(t, old, both, filepath.Join(old, "ca.key")+" ", "expired on 2010-01-01: remove ca.crt and ca.key, restart the broker")
}

// A power failure, or another broker that has created only the key so far.
func TestCreatesMissingCertificate(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	first := open(t, dir, both...)
	cert := read(t, dir, "ca.crt")
	without("ca.crt")(t, dir, "")
	if !bytes.Equal(open(t, dir, both...).CertificatePEM(), first.CertificatePEM()) || !bytes.Equal(read(t, dir, "ca.crt"), cert) {
		t.Error("ca.crt is not the certificate that was lost")
	}
}

// keyIn returns the PEM block of the key in ca.key.
func keyIn(t *testing.T, dir string) []byte {
	t.Helper()
	_, rest := pem.Decode(read(t, dir, "ca.key"))
	_, key := pem.Decode(rest)
	return key
}

// checkRejected checks that OpenOrCreate fails with these texts, reveals nothing of the files, and changes nothing.
func checkRejected(t *testing.T, dir string, hosts []string, prefix string, texts ...string) {
	t.Helper()
	before := snapshot(t, dir)
	_, err := localca.OpenOrCreate(dir, hosts)
	if after := snapshot(t, dir); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
	if err == nil {
		t.Fatal("Open succeeded, want an error")
	}
	text := err.Error()
	if !strings.HasPrefix(text, prefix) || strings.HasSuffix(text, ".") || strings.Contains(text, "%!") {
		t.Errorf("error %q, want prefix %q and no full stop", text, prefix)
	}
	for _, want := range texts {
		if !strings.Contains(text, want) {
			t.Errorf("error %q, want it to contain %q", text, want)
		}
	}
	for line := range strings.Lines(before) {
		if line = strings.TrimSpace(line); len(line) > 40 && !strings.Contains(line, " ") && strings.Contains(text, line[:20]) {
			t.Errorf("error %q quotes a file", text)
		}
	}
}

// snapshot describes all files in a directory.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range list(t, dir) {
		info, err := os.Lstat(filepath.Join(dir, name))
		must(t, err)
		content, err := os.ReadFile(filepath.Join(dir, name))
		fmt.Fprintf(&b, "%s %v %v\n%s\n(%v)\n", name, info.Mode(), info.ModTime(), content, err)
	}
	return b.String()
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func without(name string) func(*testing.T, string, string) {
	return func(t *testing.T, dir, _ string) { must(t, os.Remove(filepath.Join(dir, name))) }
}

func with(name, content string) func(*testing.T, string, string) {
	return func(t *testing.T, dir, _ string) { write(t, dir, name, []byte(content)) }
}

// writeForeignCA writes a CA like the broker's, with a change to one of its two certificates.
func writeForeignCA(t *testing.T, dir string, changeRoot, changeSigner func(*x509.Certificate)) {
	t.Helper()
	template := func(name string, path int, change func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, MaxPathLen: path, MaxPathLenZero: path == 0,
			KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			PermittedDNSDomainsCritical: true, PermittedDNSDomains: both,
			PermittedEmailAddresses: []string{"nobody.invalid"}, PermittedURIDomains: []string{"nobody.invalid"},
			ExcludedIPRanges: []*net.IPNet{network("0.0.0.0/0"), network("::/0")},
		}
		change(c)
		return c
	}
	root, rootKey := signed(t, template("root", 1, changeRoot), nil, nil)
	signer, key := signed(t, template("signer", 0, changeSigner), root, rootKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	write(t, dir, "ca.crt", pemOf(root))
	write(t, dir, "ca.key", slices.Concat(pemOf(signer), pemOf(root), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// The certificates permit more than those that the broker creates, or less.
func TestRejectsForeignCA(t *testing.T) {
	t.Parallel()
	unchanged := func(*x509.Certificate) {}
	dir := inMemory(t)
	writeForeignCA(t, dir, unchanged, unchanged)
	open(t, dir, both...) // otherwise the cases below would be rejected for another reason

	const hosts, kind = "but the configured hosts are", "is not a CA that the broker created"
	for name, test := range map[string]struct {
		change           func(*x509.Certificate)
		inRoot, inSigner string
	}{
		"wider":          {func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"etrusted.com"} }, "is for etrusted.com, " + hosts, hosts},
		"any name":       {func(c *x509.Certificate) { c.PermittedDNSDomains = nil }, "is for any host, " + hosts, hosts},
		"not critical":   {func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false }, hosts, hosts},
		"without a name": {func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{login} }, hosts, hosts},
		"emails":         {func(c *x509.Certificate) { c.PermittedEmailAddresses = nil }, hosts, hosts},
		"no emails":      {func(c *x509.Certificate) { c.ExcludedEmailAddresses = []string{"example.com"} }, hosts, hosts},
		"URIs":           {func(c *x509.Certificate) { c.PermittedURIDomains = nil }, hosts, hosts},
		"no URIs":        {func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"example.com"} }, hosts, hosts},
		"an address":     {func(c *x509.Certificate) { c.PermittedIPRanges = []*net.IPNet{network("10.0.0.0/8")} }, "10.0.0.0/8, ", hosts},
		"addresses":      {func(c *x509.Certificate) { c.ExcludedIPRanges = c.ExcludedIPRanges[:1] }, hosts, hosts},
		"clients":        {func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }, kind, kind},
		"oddities":       {func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} }, kind, kind},
		"revocation":     {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, kind, kind},
		"long paths":     {func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 2, false }, kind, kind},
		"any paths":      {func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false }, kind, kind},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRoot, inSigner := inMemory(t), inMemory(t)
			writeForeignCA(t, inRoot, test.change, unchanged)
			checkRejected(t, inRoot, both, filepath.Join(inRoot, "ca.key")+" ", test.inRoot)
			writeForeignCA(t, inSigner, unchanged, test.change)
			checkRejected(t, inSigner, both, filepath.Join(inSigner, "ca.key")+" ", test.inSigner)
		})
	}
}

func network(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
