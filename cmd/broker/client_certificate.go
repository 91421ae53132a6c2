package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// clientCertificate is the certificate that a client presented in the TLS handshake of its connection. The handshake verifies
// it once; a connection can outlive both the certificate and the authority that signed it, so requests verify it again.
//
// It has no lock: a connection carries HTTP/1.1 only, one request at a time, and after a CONNECT only its tunnel.
type clientCertificate struct {
	conn       *tls.Conn
	verifiedBy *x509.CertPool // the authorities that verified it last; nil before the first request
	validUntil time.Time      // when it, or a certificate that vouches for it, expires
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

// verify reports whether the authorities vouch for the certificate now. It verifies signatures only if the authorities are
// not those of the last call, or the certificate has expired since.
func (c *clientCertificate) verify(authorities *x509.CertPool) bool {
	if c.verifiedBy == authorities && time.Now().Before(c.validUntil) {
		return true
	}
	presented := c.conn.ConnectionState().PeerCertificates
	if len(presented) == 0 {
		return false
	}
	// The same options as in crypto/tls.
	options := x509.VerifyOptions{
		Roots:         authorities,
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
	c.verifiedBy, c.validUntil = authorities, lastExpiry(chains)
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

// asksClients reports whether clients must present a certificate. c may be nil.
func (c *certificates) asksClients() bool { return c != nil && c.clientCAFile != "" }

// trustedClient returns the client certificate of the connection of a request, or nil if the authorities in use now do not
// vouch for it. ctx is the request's.
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
	return !c.asksClients() || c.trustedClient(ctx) != nil
}

// renewConnections has connections closed before their client certificate expires: with the response, if the certificate
// would expire while the connection waits for the next request. The client then opens a connection with its new certificate,
// where it would have got a refusal on the old one.
func (c *certificates) renewConnections(next http.Handler) http.Handler {
	if !c.asksClients() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client := c.trustedClient(r.Context()); client != nil && time.Until(client.validUntil) < clientIdleTimeout {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
