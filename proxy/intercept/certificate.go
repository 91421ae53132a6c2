package intercept

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
	// Each app is made to trust the certificate by hand, in a place that nobody looks at again, and all of them fail on the
	// day when it expires. A shorter life would protect little: what the key can do is bounded by the name constraints.
	authorityYears = 10

	// Clocks differ, between a host and its virtual machines too.
	backdated = time.Hour
)

// The length of the path below each: the signer below the root, and no further authority below the signer.
const (
	rootPath   = 1
	signerPath = 0
)

// keyComment stands before what ca.key holds, for whoever compares it with ca.crt.
const keyComment = "Keep this secret. It is the key of the certificate below, which ca.crt has signed. The key of ca.crt was not kept.\n"

// newAuthority makes the root and the signer of an authority for these hosts alone. The root's key ends here.
func newAuthority(hosts []string) (pair, error) {
	now, name := time.Now(), newName()
	root, rootKey, err := newCertificate(now, name, rootPath, hosts, nil, nil)
	if err != nil {
		return pair{}, err
	}
	// Under the root's own name it would be taken for the root renewed, which some hold to no constraints (RFC 5280,
	// section 6.1.4).
	signer, key, err := newCertificate(now, name+" signer", signerPath, hosts, root, rootKey)
	if err != nil {
		return pair{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("cannot encode a key: %w", err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: root.Raw}),
		key: slices.Concat([]byte(keyComment), pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: signer.Raw}),
			pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: pkcs8})),
	}, nil
}

// newCertificate makes a key and its certificate as an authority, signed by the parent, or by itself if there is none.
func newCertificate(now time.Time, name string, path int, hosts []string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: name},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            path,
		MaxPathLenZero:        path == 0,
		KeyUsage:              x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	constrain(template, hosts)
	if parent == nil {
		parent, parentKey = template, key
	}
	cert, err := sign(template, parent, key, parentKey)
	return cert, key, err
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot use a certificate: %w", err)
	}
	return cert, nil
}

// newName is what a person sees in a list of authorities. It names no machine: the certificate goes into apps and images,
// and from there anywhere. The random part tells two brokers' apart, for people and for programs that look up issuers by
// subject.
func newName() string { return "etrusted-broker local CA " + hex.EncodeToString(random(4)) }

func newSerial() *big.Int { return new(big.Int).SetBytes(random(16)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it would end the program
	return b
}
