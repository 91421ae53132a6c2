package localca

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

// replaceAdvice says how to create a new CA. The broker never does this itself: all apps trust the old CA, and would
// fail at once for no visible reason.
const replaceAdvice = "remove ca.crt and ca.key, restart the broker, and make the apps trust the new ca.crt"

// parseCertificate accepts exactly one certificate, as the broker wrote it: apps use this file, and would trust anything
// else in it.
func parseCertificate(file []byte) (*x509.Certificate, []byte, error) {
	block, _ := pem.Decode(file)
	if block == nil || block.Type != certBlock || !isWholeFile(file, block) {
		return nil, nil, errors.New("does not contain exactly one PEM certificate: restore the original file, or " + replaceAdvice)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, errors.New("contains a broken certificate: restore the original file, or " + replaceAdvice)
	}
	return cert, pem.EncodeToMemory(block), nil
}

// isWholeFile reports whether the file contains only this block. Line breaks may have become CRLF in a copy.
func isWholeFile(file []byte, block *pem.Block) bool {
	plain := &pem.Block{Type: block.Type, Bytes: block.Bytes}
	file = bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n"))
	return bytes.Equal(bytes.TrimSpace(file), bytes.TrimSpace(pem.EncodeToMemory(plain)))
}

// parseKey returns the same error for every problem, because the parsers' errors may quote the file.
func parseKey(file []byte) (signer *x509.Certificate, key *ecdsa.PrivateKey, err error) {
	broken := errors.New("is not a PEM certificate with its private key: restore the original file, or " + replaceAdvice)
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

// verify rejects a CA that would not work for the apps, or that could sign more than it needs to.
func verify(root, signer *x509.Certificate, hosts []string) error {
	now := time.Now()
	switch {
	case !isCACertificate(root, rootPathLen) || root.CheckSignatureFrom(root) != nil:
		return errors.New("is not a CA certificate that the broker created: restore the original file, or " + replaceAdvice)
	case !isCACertificate(signer, signerPathLen) || signer.CheckSignatureFrom(root) != nil:
		return errors.New("does not belong to ca.key: restore both files of the same CA, or " + replaceAdvice)
	case now.After(root.NotAfter):
		return fmt.Errorf("expired on %s: "+replaceAdvice, formatDate(root.NotAfter))
	case now.Before(root.NotBefore):
		return fmt.Errorf("is not valid before %s: correct this machine's clock, or if it is right, "+replaceAdvice, formatDate(root.NotBefore))
	case !isConstrained(root, hosts) || !isConstrained(signer, hosts):
		return fmt.Errorf("is for %s, but the configured hosts are %s: configure the old hosts again, or "+replaceAdvice,
			permittedHosts(root), strings.Join(hosts, ", "))
	}
	return nil
}

func isCACertificate(cert *x509.Certificate, pathLen int) bool {
	return cert.BasicConstraintsValid && cert.IsCA && cert.MaxPathLen == pathLen &&
		cert.KeyUsage == x509.KeyUsageCertSign &&
		slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) && len(cert.UnknownExtKeyUsage) == 0
}

func formatDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }
