package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// certificates are what the app's listener shows, and which clients it believes. They are read again while the broker
// runs, and only what can be used takes the place of what there was.
type certificates struct {
	certFile, keyFile, clientCAFile string // the last may be empty
	current                         atomic.Pointer[tls.Config]
	digest                          [sha256.Size]byte // of what current was made of
}

// loadCertificates returns nil without an error if TLS is not asked for. An error comes with the variable to blame.
func (c config) loadCertificates() (certs *certificates, blame string, err error) {
	switch {
	case c.TLSCertFile == "" && c.TLSKeyFile == "" && c.TLSClientCAFile == "":
		return nil, "", nil
	case c.TLSCertFile == "":
		return nil, "BROKER_TLS_CERT_FILE", errors.New("is not set, but BROKER_TLS_KEY_FILE or BROKER_TLS_CLIENT_CA_FILE is: TLS needs a certificate")
	case c.TLSKeyFile == "":
		return nil, "BROKER_TLS_KEY_FILE", errors.New("is not set, but BROKER_TLS_CERT_FILE is: set it to the certificate's private key")
	}
	certs = &certificates{certFile: c.TLSCertFile, keyFile: c.TLSKeyFile, clientCAFile: c.TLSClientCAFile}
	if _, err := certs.reload(); err != nil {
		return nil, err.variable, err.err
	}
	return certs, "", nil
}

// fileError is what is wrong with the file that a variable names.
type fileError struct {
	variable string
	err      error
}

// Error names the variable.
func (e *fileError) Error() string { return e.variable + ": " + e.err.Error() }

// reload reads the files and reports whether they hold something new. After an error all is as it was. It must not be
// called from two goroutines at a time.
func (c *certificates) reload() (changed bool, _ *fileError) {
	cert, err := readPEM(c.certFile)
	if err != nil {
		return false, &fileError{"BROKER_TLS_CERT_FILE", err}
	}
	key, err := readPEM(c.keyFile)
	if err != nil {
		return false, &fileError{"BROKER_TLS_KEY_FILE", err}
	}
	defer clear(key)
	var clientCA []byte
	if c.clientCAFile != "" {
		if clientCA, err = readPEM(c.clientCAFile); err != nil {
			return false, &fileError{"BROKER_TLS_CLIENT_CA_FILE", err}
		}
	}
	digest := digestOf(cert, key, clientCA)
	if digest == c.digest {
		return false, nil
	}
	next, wrong := newTLSConfig(cert, key, clientCA)
	if wrong != nil {
		return false, wrong
	}
	c.current.Store(next)
	c.digest = digest
	return true, nil
}

// digestOf tells files apart without another copy of the key.
func digestOf(files ...[]byte) (digest [sha256.Size]byte) {
	hash := sha256.New()
	for _, file := range files {
		_, _ = fmt.Fprintf(hash, "%d\n", len(file)) // a hash takes all it is given
		_, _ = hash.Write(file)
	}
	hash.Sum(digest[:0])
	return digest
}

func newTLSConfig(cert, key, clientCA []byte) (*tls.Config, *fileError) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		// The error's own text may be about either file, and may quote what is in it.
		return nil, &fileError{"BROKER_TLS_CERT_FILE", errors.New("is not a PEM certificate that belongs to the private key in BROKER_TLS_KEY_FILE: name two files that belong together, the certificate with its chain, and the key without a passphrase")}
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		// HTTP/2 would open ways in that HTTP/1.1 does not have (streams that are reset by the thousand), and an app next
		// door has no use for it.
		NextProtos: []string{"http/1.1"},
		// A resumed session would not be held against authorities that have changed since.
		SessionTicketsDisabled: true,
	}
	if clientCA != nil {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(clientCA) {
			return nil, &fileError{"BROKER_TLS_CLIENT_CA_FILE", errors.New("has no PEM certificate in it: name the file with the certificates of the authorities that sign the apps'")}
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// serverConfig looks up what is current at each handshake.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
}

// expires is when the certificate in use does.
func (c *certificates) expires() time.Time {
	return c.current.Load().Certificates[0].Leaf.NotAfter
}

// folders are those in which a change may mean other certificates.
func (c *certificates) folders() []string {
	folders := []string{filepath.Dir(c.certFile), filepath.Dir(c.keyFile)}
	if c.clientCAFile != "" {
		folders = append(folders, filepath.Dir(c.clientCAFile))
	}
	return folders
}

// maxPEM is more than a chain or a bundle of all public authorities has.
const maxPEM = 1 << 20

// readPEM reads a whole file. Its errors do not say which: a secret may have been put in place of the path.
func readPEM(path string) ([]byte, error) {
	if !isPath(path) {
		return nil, errNoPath
	}
	file, err := os.Open(path) //nolint:gosec // G304: the operator's own configuration names the path.
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoFile
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("may not be read by the broker's user: change its owner or its mode")
	case err != nil:
		return nil, errors.New("cannot be opened")
	}
	defer func() { _ = file.Close() }() // only read from: nothing can be lost
	content, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	switch {
	case err != nil:
		return nil, errors.New("cannot be read: it must be a file")
	case len(content) > maxPEM:
		return nil, errors.New("is too large to be what it should be")
	}
	return content, nil
}
