package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// The certificate is added to each app's trust store by hand and easily forgotten there, and all apps fail on the
	// day it expires. A shorter lifetime would protect little: the name constraints limit what the key can do.
	caYears = 10

	// backdate allows for clock differences, even between a host and its virtual machines.
	backdate = time.Hour
)

// Path lengths: the signer below the root, and no further CA below the signer.
const (
	rootPathLen   = 1
	signerPathLen = 0
)

// newCAKeyFile creates the root and the signer of a CA for only these hosts, and returns the content of ca.key. The root's key is
// discarded.
func newCAKeyFile(hosts []string) (content []byte, _ error) {
	// The name is shown in lists of CAs. It names no machine, because the certificate is copied into apps and images. The
	// random part distinguishes the CAs of two brokers, for people and for programs that look up issuers by subject.
	name := "etrusted-broker local CA " + strings.ToLower(rand.Text()[:8])
	root, rootKey, err := newCertificate(caTemplate(name, rootPathLen, hosts), nil, nil)
	if err != nil {
		return nil, err
	}
	// With the root's name, the signer would be a self-issued certificate, which some verifiers exempt from name
	// constraints (RFC 5280 section 6.1.4).
	signer, key, err := newCertificate(caTemplate(name+" signer", signerPathLen, hosts), root, rootKey)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a key: %w", err)
	}
	// For readers who compare ca.key with ca.crt.
	const comment = "Keep this secret. It has a certificate that ca.crt has signed, ca.crt itself, and the key of the first. The key of ca.crt was not kept.\n"
	return slices.Concat([]byte(comment), encodeCertificatePEM(signer), encodeCertificatePEM(root),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), nil
}

func encodeCertificatePEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func caTemplate(name string, pathLen int, hosts []string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:        pkix.Name{CommonName: name},
		NotAfter:       time.Now().AddDate(caYears, 0, 0),
		IsCA:           true,
		MaxPathLen:     pathLen,
		MaxPathLenZero: pathLen == 0,
		KeyUsage:       x509.KeyUsageCertSign,
	}
	addNameConstraints(template, hosts)
	return template
}

// newCertificate creates a key and its certificate, signed by parent, or self-signed if parent is nil. It adds to the template what
// all certificates have in common.
func newCertificate(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create a key: %w", err)
	}
	template.Subject.Organization = []string{"etrusted-broker"}
	template.NotBefore = time.Now().Add(-backdate)
	template.BasicConstraintsValid = true
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot parse the new certificate: %w", err)
	}
	return cert, key, nil
}
