package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
)

// LoadTLS reads the PEM files for TLS on the app's listener, and returns the configuration of a server that uses them; nil
// without TLS. Its errors are Errors.
func (c Config) LoadTLS() (*tls.Config, error) {
	switch {
	case c.TLSCertFile == "" && c.TLSKeyFile == "" && c.TLSClientCAFile == "":
		return nil, nil
	case c.TLSCertFile == "":
		return nil, Error{"BROKER_TLS_CERT_FILE", "is not set, but BROKER_TLS_KEY_FILE or BROKER_TLS_CLIENT_CA_FILE is: TLS needs a certificate"}
	case c.TLSKeyFile == "":
		return nil, Error{"BROKER_TLS_KEY_FILE", "is not set, but BROKER_TLS_CERT_FILE is: set it to the certificate's private key"}
	}
	read := func(variable, path string) (content []byte, err error) {
		if path == "" {
			return nil, nil
		}
		if content, err = readFileHidingPath(path, readPEM); err != nil {
			err = Error{variable, err.Error()}
		}
		return content, err
	}
	cert, certErr := read("BROKER_TLS_CERT_FILE", c.TLSCertFile)
	key, keyErr := read("BROKER_TLS_KEY_FILE", c.TLSKeyFile)
	defer clear(key)
	clientCA, caErr := read("BROKER_TLS_CLIENT_CA_FILE", c.TLSClientCAFile)
	if err := cmp.Or(certErr, keyErr, caErr); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		// The error's own text may be about either file, and may quote what is in it.
		return nil, Error{"BROKER_TLS_CERT_FILE", "is not a PEM certificate for the private key in BROKER_TLS_KEY_FILE: use two files that belong together, the certificate with its chain and the key without a passphrase"}
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		// HTTP/2 allows attacks that HTTP/1.1 does not (rapid reset of streams), and local apps do not need it.
		NextProtos: []string{"http/1.1"},
		// A resumed session would not be verified against CAs that have changed since.
		SessionTicketsDisabled: true,
	}
	if clientCA != nil {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(clientCA) {
			return nil, Error{"BROKER_TLS_CLIENT_CA_FILE", "contains no PEM certificate: use the file with the CA certificates that sign the apps' certificates"}
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// maxPEMFile is larger than a chain, and than a bundle of all public CAs.
const maxPEMFile = 1 << 20

// readPEM reads a whole file, which must be a regular one: opening a pipe would block. It is for readFileHidingPath.
func readPEM(path string) (unparsed []byte, err error) {
	switch info, err := os.Stat(path); {
	case err == nil && !info.Mode().IsRegular():
		return nil, errors.New("cannot be read: it must be a file")
	case err == nil && info.Size() > maxPEMFile:
		return nil, errors.New("is too large to be a PEM file")
	}
	content, err := os.ReadFile(path) //nolint:gosec // G304: the operator's own configuration names the path.
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("is not readable for the broker's user: change its owner or its mode")
	case err != nil:
		return nil, errors.New("cannot be opened")
	}
	return content, nil
}
