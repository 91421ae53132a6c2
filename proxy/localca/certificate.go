package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const organization = "etrusted-broker"

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

// keyComment begins ca.key, for readers who compare it with ca.crt.
const keyComment = "Keep this secret. It is the key of the certificate below, which ca.crt has signed. The key of ca.crt was not kept.\n"

// newCA creates the root and the signer of a CA for only these hosts. The root's key is discarded.
func newCA(hosts []string) (filePair, error) {
	now, name := time.Now(), newCommonName()
	root, rootKey, err := newCertificate(now, name, rootPathLen, hosts, nil, nil)
	if err != nil {
		return filePair{}, err
	}
	// With the root's name, the signer would be a self-issued certificate, which some verifiers exempt from name
	// constraints (RFC 5280 section 6.1.4).
	signer, key, err := newCertificate(now, name+" signer", signerPathLen, hosts, root, rootKey)
	if err != nil {
		return filePair{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return filePair{}, fmt.Errorf("cannot encode a key: %w", err)
	}
	return filePair{
		cert: pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: root.Raw}),
		key: slices.Concat([]byte(keyComment), pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: signer.Raw}),
			pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: pkcs8})),
	}, nil
}

// newCertificate creates a key and its CA certificate, signed by parent, or self-signed if parent is nil.
func newCertificate(now time.Time, name string, pathLen int, hosts []string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot create a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            pathLen,
		MaxPathLenZero:        pathLen == 0,
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	addNameConstraints(template, hosts)
	if parent == nil {
		parent, parentKey = template, key
	}
	cert, err := sign(template, parent, key, parentKey)
	return cert, key, err
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("cannot create a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot parse the new certificate: %w", err)
	}
	return cert, nil
}

// newCommonName returns the name shown in lists of CAs. It names no machine, because the certificate is copied into
// apps and images. The random part distinguishes the CAs of two brokers, for people and for programs that look up
// issuers by subject.
func newCommonName() string { return "etrusted-broker local CA " + hex.EncodeToString(randomBytes(4)) }

func newSerial() *big.Int { return new(big.Int).SetBytes(randomBytes(16)) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
