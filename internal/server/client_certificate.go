package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// clientCertificate is the certificate that a client presented in the TLS handshake of its connection. The handshake verifies
// it once; a connection can outlive both the certificate and its CA, so requests verify it again.
//
// It needs no lock: a connection carries one HTTP/1.1 request at a time, and after a CONNECT only its tunnel.
type clientCertificate struct {
	conn       *tls.Conn
	roots      *x509.CertPool // the CAs that verified it last; nil before the first request
	validUntil time.Time      // when it, or a certificate in its chain, expires
}

type clientCertificateKey struct{}

// withClientCertificate is an http.Server's ConnContext. In a tunnel, the certificate is that of the connection which carries
// the tunnel.
func withClientCertificate(ctx context.Context, conn net.Conn) context.Context {
	var outermost *tls.Conn
	for conn != nil {
		if secure, isTLS := conn.(*tls.Conn); isTLS {
			outermost = secure
		}
		wrapper, isWrapper := conn.(interface{ NetConn() net.Conn })
		if !isWrapper {
			break
		}
		conn = wrapper.NetConn()
	}
	if outermost == nil {
		return ctx
	}
	return context.WithValue(ctx, clientCertificateKey{}, &clientCertificate{conn: outermost})
}

// verify reports whether the CAs trust the certificate now. It verifies signatures only if the CAs differ from those of the
// last call, or if the certificate has expired.
func (c *clientCertificate) verify(roots *x509.CertPool) bool {
	if c.roots == roots && time.Now().Before(c.validUntil) {
		return true
	}
	presented := c.conn.ConnectionState().PeerCertificates
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
	c.roots, c.validUntil = roots, lastExpiry(chains)
	return true
}

// lastExpiry returns when the last of the chains expires. A chain expires with the first of its certificates.
func lastExpiry(chains [][]*x509.Certificate) (last time.Time) {
	for _, chain := range chains {
		expiry := chain[0].NotAfter
		for _, signer := range chain[1:] {
			if signer.NotAfter.Before(expiry) {
				expiry = signer.NotAfter
			}
		}
		if expiry.After(last) {
			last = expiry
		}
	}
	return last
}

// requiresClientCert reports whether clients must present a certificate. c may be nil.
func (c *certificates) requiresClientCert() bool { return c != nil && c.files.ClientCA != "" }

// trustedClient returns the client certificate of a request's connection, or nil if the CAs in use now do not trust it. ctx
// is the request's.
func (c *certificates) trustedClient(ctx context.Context) *clientCertificate {
	client, ok := ctx.Value(clientCertificateKey{}).(*clientCertificate)
	if !ok || !client.verify(c.current.Load().ClientCAs) {
		return nil
	}
	return client
}

// clientTrusted reports whether the connection of a request has a trusted client certificate, or needs none. ctx is the
// request's. c may be nil.
func (c *certificates) clientTrusted(ctx context.Context) bool {
	return !c.requiresClientCert() || c.trustedClient(ctx) != nil
}

// closeBeforeExpiry closes connections before their client certificate expires: after a response, if the certificate would
// expire while the connection is idle. The client then opens a connection with its new certificate, instead of being refused
// on the old one.
func (c *certificates) closeBeforeExpiry(next http.Handler) http.Handler {
	if !c.requiresClientCert() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client := c.trustedClient(r.Context()); client != nil && time.Until(client.validUntil) < clientIdleTimeout {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
