package localca

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// replaceAdvice says how to create a new CA. The broker never does this itself: all apps trust the old CA, and would
// fail at once for no visible reason.
const replaceAdvice = "remove ca.crt and ca.key, restart the broker, and make the apps trust the new ca.crt"

// parseCAKeyFile parses ca.key. It returns the same error for every problem, because the parsers' errors may quote the file.
func parseCAKeyFile(file []byte) (root, signer *x509.Certificate, key *ecdsa.PrivateKey, err error) {
	if pair, err := tls.X509KeyPair(file, file); err == nil && len(pair.Certificate) == 2 {
		root, err = x509.ParseCertificate(pair.Certificate[1])
		if key, isECDSA := pair.PrivateKey.(*ecdsa.PrivateKey); err == nil && isECDSA {
			return root, pair.Leaf, key, nil
		}
	}
	return nil, nil, nil, errors.New("is not a PEM file with two certificates and a private key: restore the original file, or " + replaceAdvice)
}

// verifyCA rejects a CA that would not work for the apps, or that could sign more than it needs to. It must be for the hosts, which
// are distinct, and may be for others only with existingMayPermitOthers.
func verifyCA(root, signer *x509.Certificate, hosts []string, existingMayPermitOthers bool) error {
	now, permitted := time.Now(), permittedHosts(root)
	isMissing := func(host string) bool { return !slices.Contains(permitted, host) }
	switch {
	case !isCACertificate(root, rootPathLen) || root.CheckSignatureFrom(root) != nil,
		!isCACertificate(signer, signerPathLen) || signer.CheckSignatureFrom(root) != nil:
		return errors.New("is not a CA that the broker created: restore the original file, or " + replaceAdvice)
	case now.After(root.NotAfter):
		return fmt.Errorf("expired on %s: "+replaceAdvice, formatDate(root.NotAfter))
	case now.Before(root.NotBefore):
		return fmt.Errorf("is not valid before %s: correct this machine's clock, or if it is right, "+replaceAdvice, formatDate(root.NotBefore))
	case !hasExactNameConstraints(root, permitted) || !hasExactNameConstraints(signer, permitted),
		slices.ContainsFunc(hosts, isMissing), len(permitted) > len(hosts) && !existingMayPermitOthers:
		return fmt.Errorf("is for %s, but the configured hosts are %s: configure the old hosts again, or "+replaceAdvice,
			cmp.Or(strings.Join(permitted, ", "), "any host"), strings.Join(hosts, ", "))
	}
	return nil
}

func isCACertificate(cert *x509.Certificate, pathLen int) bool {
	return cert.BasicConstraintsValid && cert.IsCA && cert.MaxPathLen == pathLen &&
		cert.KeyUsage == x509.KeyUsageCertSign &&
		slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) && len(cert.UnknownExtKeyUsage) == 0
}

func formatDate(t time.Time) string { return t.UTC().Format(time.DateOnly) }
