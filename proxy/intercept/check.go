package intercept

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	certBlock = "CERTIFICATE"
	keyBlock  = "PRIVATE KEY"
)

// another is what to do when there is no way but a new authority. It is never done by itself: the apps trust the old one,
// and all of them would fail at once without anybody knowing why.
const another = "remove ca.crt and ca.key, start the broker again, and make the new ca.crt trusted where the old one was"

// parseCertificate takes one certificate and nothing else, as it was written: apps are pointed to this very file, and
// would trust whatever else is in it.
func parseCertificate(file []byte) (*x509.Certificate, []byte, error) {
	block, _ := pem.Decode(file)
	if block == nil || block.Type != certBlock || !isAll(file, block) {
		return nil, nil, errors.New("is not one PEM certificate and nothing else: put back the file that the broker made, or " + another)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, errors.New("holds a broken certificate: put back the file that the broker made, or " + another)
	}
	return cert, pem.EncodeToMemory(block), nil
}

// isAll says whether the file is this block and nothing more. The ends of lines may have suffered from a copy.
func isAll(file []byte, block *pem.Block) bool {
	plain := &pem.Block{Type: block.Type, Bytes: block.Bytes}
	file = bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n"))
	return bytes.Equal(bytes.TrimSpace(file), bytes.TrimSpace(pem.EncodeToMemory(plain)))
}

// parseKey has one error for everything: those of the parsers may be about what is in the file.
func parseKey(file []byte) (signer *x509.Certificate, key *ecdsa.PrivateKey, err error) {
	broken := errors.New("is not a PEM certificate and its private key, as the broker makes them: put back the file that the broker made, or " + another)
	certPart, rest := pem.Decode(file)
	keyPart, _ := pem.Decode(rest)
	if certPart == nil || certPart.Type != certBlock || keyPart == nil || keyPart.Type != keyBlock {
		return nil, nil, broken
	}
	signer, certErr := x509.ParseCertificate(certPart.Bytes)
	parsed, keyErr := x509.ParsePKCS8PrivateKey(keyPart.Bytes)
	key, isECDSA := parsed.(*ecdsa.PrivateKey)
	if certErr != nil || keyErr != nil || !isECDSA || key.Curve != elliptic.P256() || !key.PublicKey.Equal(signer.PublicKey) {
		return nil, nil, broken
	}
	return signer, key, nil
}

// check refuses an authority with which apps would fail, or which could do more than it must.
func check(root, signer *x509.Certificate, hosts []string) error {
	now := time.Now()
	switch {
	case !isAuthority(root, rootPath) || root.CheckSignatureFrom(root) != nil:
		return errors.New("is not the certificate of an authority that the broker made: put back the file that it made, or " + another)
	case !isAuthority(signer, signerPath) || signer.CheckSignatureFrom(root) != nil:
		return errors.New("does not belong to ca.key: put back the two that belong together, or " + another)
	case now.After(root.NotAfter):
		return fmt.Errorf("expired on %s: "+another, day(root.NotAfter))
	case now.Before(root.NotBefore):
		return fmt.Errorf("is not valid before %s: set this machine's clock, or if that is right, "+another, day(root.NotBefore))
	case !isConstrained(root, hosts) || !isConstrained(signer, hosts):
		return fmt.Errorf("is for %s, and not for what is configured, %s: configure the old hosts again, or "+another,
			permittedHosts(root), strings.Join(hosts, ", "))
	}
	return nil
}

func isAuthority(cert *x509.Certificate, path int) bool {
	return cert.BasicConstraintsValid && cert.IsCA && cert.MaxPathLen == path &&
		cert.KeyUsage == x509.KeyUsageCertSign &&
		slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) && len(cert.UnknownExtKeyUsage) == 0
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
