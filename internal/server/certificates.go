package server

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"time"

	"etrusted-broker/internal/callers"
)

// clientTLSConn is a TLS connection of a client. It can outlive the client's certificate and its CA, so each request verifies the
// certificate again. Its fields need no lock: a connection carries one request at a time.
type clientTLSConn struct {
	*tls.Conn
	roots      *x509.CertPool // the CAs that verified it last; nil before the first request
	validUntil time.Time      // when the first certificate in its chain expires
	names      []string       // its identities; nil before the first request
}

// certificateIdentities returns what can identify the client as a caller; nil if it has presented no certificate.
func (c *clientTLSConn) certificateIdentities() []string {
	if presented := c.ConnectionState().PeerCertificates; c.names == nil && len(presented) > 0 {
		c.names = callers.CertificateIdentities(presented[0])
	}
	return c.names
}

// listener returns l, or a TLS listener on l that uses the current certificates at each handshake.
func (a *appCredentials) listener(l net.Listener) net.Listener {
	if a.tls.Load() == nil {
		return l
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.tls.Load(), nil },
	}
	return wrappingListener{l, func(accepted net.Conn) net.Conn { return &clientTLSConn{Conn: tls.Server(accepted, config)} }}
}

// verifyCertificate reports whether the CAs trust the certificate now. It verifies signatures only after changes and expiry.
func (c *clientTLSConn) verifyCertificate(roots *x509.CertPool) bool {
	if c.roots == roots && time.Now().Before(c.validUntil) {
		return true
	}
	presented := c.ConnectionState().PeerCertificates
	if len(presented) == 0 {
		return false
	}
	// The same options as in crypto/tls.
	options := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, intermediate := range presented[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	chains, err := presented[0].Verify(options)
	if err != nil {
		return false
	}
	c.roots, c.validUntil = roots, expiryOf(chains[0])
	return true
}

// expiryOf returns when the first certificate of a chain expires.
func expiryOf(chain []*x509.Certificate) time.Time {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// clientTrusted reports whether the CAs in use now trust a connection's client certificate, or none is required.
func (a *appCredentials) clientTrusted(conn net.Conn) bool {
	config := a.tls.Load()
	if config == nil || config.ClientCAs == nil {
		return true
	}
	client, ok := conn.(*clientTLSConn)
	return ok && client.verifyCertificate(config.ClientCAs)
}

// expiresWhileIdle reports whether a connection's client certificate is trusted, but expires within the idle timeout.
func (a *appCredentials) expiresWhileIdle(conn net.Conn) bool {
	client, ok := conn.(*clientTLSConn)
	return ok && a.clientTrusted(conn) && client.roots != nil && time.Until(client.validUntil) < clientIdleTimeout
}
