package localca

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the format prescribes it, and the password is no secret
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"unicode/utf16"
)

// BundleWithSystemCAs returns a CA's certificate, followed by those that the system trusts: for programs that accept only one file.
// The latter are read from sslCertFile, the value of SSL_CERT_FILE, or if that is empty from the system's own bundle.
func BundleWithSystemCAs(certificatePEM []byte, sslCertFile string) ([]byte, error) {
	files := []string{
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",   // Red Hat
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/ca-bundle.pem", // SUSE
		"/etc/ssl/cert.pem",      // Alpine, BSD, macOS
	}
	if sslCertFile != "" {
		files = []string{sslCertFile}
	}
	for _, file := range files {
		system, err := os.ReadFile(file) //nolint:gosec // the user names it, or the list above
		switch {
		case errors.Is(err, os.ErrNotExist) && sslCertFile == "":
		case err != nil:
			return nil, fmt.Errorf("cannot read the system's certificate authorities: %w", err)
		default:
			return append(append(bytes.TrimSpace(certificatePEM), '\n'), system...), nil // in this order: the system's may lack its last line break
		}
	}
	return nil, errors.New("this system has no bundle of certificate authorities: install the package ca-certificates, or set SSL_CERT_FILE to one")
}

// JavaTrustStorePassword is the password of the result of JavaTrustStore: that which Java uses for its own.
const JavaTrustStorePassword = "changeit"

// JavaTrustStore converts a bundle to Java's format for trusted certificates, JKS. It skips what is not a certificate.
func JavaTrustStore(bundlePEM []byte) []byte {
	var certificates [][]byte
	for block, rest := pem.Decode(bundlePEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificates = append(certificates, block.Bytes)
		}
	}
	var store []byte
	write := func(parts ...any) {
		for _, part := range parts {
			store, _ = binary.Append(store, binary.BigEndian, part) // the parts have fixed sizes
		}
	}
	const magic, version, trustedCertificate = uint32(0xfeedfeed), uint32(2), uint32(2)
	write(magic, version, uint32(len(certificates))) //nolint:gosec // a bundle has some hundred
	for i, certificate := range certificates {
		alias, kind, added := fmt.Appendf(nil, "ca%d", i), []byte("X.509"), uint64(0)
		write(trustedCertificate, uint16(len(alias)), alias, added, uint16(len(kind)), kind) //nolint:gosec // they are short
		write(uint32(len(certificate)), certificate)                                         //nolint:gosec // it has some kilobytes
	}
	digest := sha1.New() //nolint:gosec // see the import
	_ = binary.Write(digest, binary.BigEndian, utf16.Encode([]rune(JavaTrustStorePassword)))
	digest.Write([]byte("Mighty Aphrodite"))
	digest.Write(store)
	return digest.Sum(store)
}
