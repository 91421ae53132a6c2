package callers

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strconv"
	"strings"
)

// CertificateIdentities returns the identities of a client with a certificate, in the form of Caller.Identities: its names and URIs
// (RFC 5280 section 4.2.1.6), and its fingerprint.
func CertificateIdentities(certificate *x509.Certificate) (identities []string) {
	for _, name := range certificate.DNSNames {
		identities = append(identities, dnsIdentity(name))
	}
	for _, uri := range certificate.URIs {
		identities = append(identities, uriIdentity(uri.String()))
	}
	digest := sha256.Sum256(certificate.Raw)
	return append(identities, fingerprintIdentity(digest[:]))
}

// UserIdentity returns the identity of a client that runs as a user of this machine.
func UserIdentity(uid uint32) string { return "uid:" + strconv.FormatUint(uint64(uid), 10) }

func dnsIdentity(name string) string { return "dns:" + strings.ToLower(strings.TrimSuffix(name, ".")) }

func uriIdentity(uri string) string { return "uri:" + uri }

func fingerprintIdentity(sha256Digest []byte) string {
	return "sha256:" + hex.EncodeToString(sha256Digest)
}
