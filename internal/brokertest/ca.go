package brokertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// CA is a certificate authority that a test creates.
type CA struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// NewCA creates a certificate authority whose certificate is valid for an hour.
func NewCA(t *testing.T, name string) *CA {
	t.Helper()
	ca := &CA{t: t}
	ca.key, ca.cert = ca.Sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	})
	return ca
}

// Sign creates a key and signs a certificate for it, with a new serial number and valid since an hour ago. The caller sets
// the rest of the template. The first certificate is the CA's own, which NewCA creates.
func (ca *CA) Sign(template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		ca.t.Fatal(err)
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return key, cert
}

// Issue returns a new certificate for name, localhost and 127.0.0.1, for servers and clients, the private key of that certificate, PEM. It expires
// after lifetime.
func (ca *CA) Issue(name string, lifetime time.Duration) (certPEM, keyPEM []byte) {
	ca.t.Helper()
	key, cert := ca.Sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost", name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, NotAfter: time.Now().Add(lifetime),
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// ClientCertificate returns a certificate as Issue does, for the Certificates field of a tls.Config.
func (ca *CA) ClientCertificate(name string) []tls.Certificate {
	ca.t.Helper()
	cert, key := ca.Issue(name, time.Hour)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return []tls.Certificate{pair}
}

// CertificatePEM returns the CA's own certificate.
func (ca *CA) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// CertPool returns a pool that trusts the given CAs.
func CertPool(cas ...*CA) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca.cert)
	}
	return pool
}
