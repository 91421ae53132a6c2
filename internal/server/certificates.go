package server

import (
	"bytes"
	"crypto/tls"
	"slices"
	"sync/atomic"
	"time"
)

// certificates holds the TLS configuration of the app's listener. Its files are read again while the broker runs; a change
// that cannot be used leaves the old configuration in use.
type certificates struct {
	load    func() (*tls.Config, error)
	current atomic.Pointer[tls.Config]
}

// newCertificates returns what load returns, and nil without an error if TLS is not configured.
func newCertificates(load func() (*tls.Config, error)) (*certificates, error) {
	current, err := load()
	if current == nil {
		return nil, err
	}
	c := &certificates{load: load}
	c.current.Store(current)
	return c, nil
}

// reload reads the files and reports whether their certificates have changed. After an error everything is as before. It must
// not be called from two goroutines at a time.
func (c *certificates) reload() (changed bool, _ error) {
	next, err := c.load()
	if err != nil || equalCertificates(c.current.Load(), next) {
		return false, err
	}
	c.current.Store(next)
	return true, nil
}

func equalCertificates(a, b *tls.Config) bool {
	return slices.EqualFunc(a.Certificates[0].Certificate, b.Certificates[0].Certificate, bytes.Equal) && a.ClientCAs.Equal(b.ClientCAs)
}

// serverConfig returns a configuration that uses the current one at each handshake.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
}

// notAfter returns when the certificate in use expires.
func (c *certificates) notAfter() time.Time {
	return c.current.Load().Certificates[0].Leaf.NotAfter
}
