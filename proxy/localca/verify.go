package localca

import (
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

// parseKey parses ca.key. It returns the same error for every problem, because the parsers' errors may quote the file.
func parseKey(file []byte) (root, signer *x509.Certificate, key *ecdsa.PrivateKey, err error) {
	signerPart, rest := pem.Decode(file)
	rootPart, rest := pem.Decode(rest)
	keyPart, _ := pem.Decode(rest)
	if hasType(signerPart, certBlock) && hasType(rootPart, certBlock) && hasType(keyPart, keyBlock) {
		signer, signerErr := x509.ParseCertificate(signerPart.Bytes)
		root, rootErr := x509.ParseCertificate(rootPart.Bytes)
		parsed, keyErr := x509.ParsePKCS8PrivateKey(keyPart.Bytes)
		key, isECDSA := parsed.(*ecdsa.PrivateKey)
		if errors.Join(signerErr, rootErr, keyErr) == nil && isECDSA && key.Curve == elliptic.P256() && key.PublicKey.Equal(signer.PublicKey) {
			return root, signer, key, nil
		}
	}
	return nil, nil, nil, errors.New("is not a PEM file with two certificates and a private key: restore the original file, or " + replaceAdvice)
}

func hasType(block *pem.Block, want string) bool { return block != nil && block.Type == want }

// verifyCA rejects a CA that would not work for the apps, or that could sign more than it needs to.
func verifyCA(root, signer *x509.Certificate, hosts []string) error {
	now := time.Now()
	switch {
	case !isCACertificate(root, rootPathLen) || root.CheckSignatureFrom(root) != nil,
		!isCACertificate(signer, signerPathLen) || signer.CheckSignatureFrom(root) != nil:
		return errors.New("is not a CA that the broker created: restore the original file, or " + replaceAdvice)
	case now.After(root.NotAfter):
		return fmt.Errorf("expired on %s: "+replaceAdvice, formatDate(root.NotAfter))
	case now.Before(root.NotBefore):
		return fmt.Errorf("is not valid before %s: correct this machine's clock, or if it is right, "+replaceAdvice, formatDate(root.NotBefore))
	case !hasConstraintsFor(root, hosts) || !hasConstraintsFor(signer, hosts):
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
