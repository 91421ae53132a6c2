package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"sync"
	"time"

	"etrusted-broker/internal/hostport"
)

const (
	leafLifetime = 7 * 24 * time.Hour
	// Open connections keep the certificate of their handshake. The margin also allows for clock differences.
	renewBefore = 2 * 24 * time.Hour
)

// certificateFor returns the certificate for the target of a CONNECT. It fails if the SNI names a different host: two
// names for one connection mean that the app is confused, or tries to get past a check of only one of them.
func (a *CA) certificateFor(connectTarget, serverName string) (*tls.Certificate, error) {
	host, _, _ := hostport.Split(connectTarget)
	l := a.leaves[host]
	switch {
	case l == nil:
		return nil, fmt.Errorf("%q is not a configured host", connectTarget)
	case serverName != "" && !strings.EqualFold(serverName, host):
		return nil, fmt.Errorf("the app requested %q in a connection to %s", serverName, host)
	default:
		return l.currentCertificate()
	}
}

// leaf is the certificate of one host. Its key exists only in memory.
type leaf struct {
	host string
	ca   *CA

	mu          sync.Mutex
	certificate *tls.Certificate // nil before the first handshake
}

// currentCertificate returns the certificate, and renews it when due. Only then do handshakes wait for each other, for a fraction
// of a millisecond.
func (l *leaf) currentCertificate() (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isFresh(l.certificate) {
		return l.certificate, nil
	}
	renewed, err := l.issue()
	if err != nil {
		return nil, err
	}
	l.certificate = renewed
	return renewed, nil
}

// isFresh compares wall clock times, because a certificate has no other. A timer, or a time from time.Now, would stop
// while a laptop is suspended. It also detects a clock that was ahead when the certificate was created.
func (l *leaf) isFresh(c *tls.Certificate) bool {
	if c == nil {
		return false
	}
	now, end := time.Now(), c.Leaf.NotAfter
	if !end.Equal(l.ca.root.NotAfter) { // otherwise it cannot be renewed for longer
		end = end.Add(-renewBefore)
	}
	return !now.Before(c.Leaf.NotBefore) && now.Before(end)
}

func (l *leaf) issue() (*tls.Certificate, error) {
	ca := l.ca
	now, notAfter := time.Now(), ca.root.NotAfter
	if now.After(notAfter) {
		return nil, fmt.Errorf("%s expired on %s: "+replaceAdvice, ca.path, formatDate(notAfter))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot create a key for %s: %w", l.host, err)
	}
	if end := now.Add(leafLifetime - backdate); end.Before(notAfter) {
		notAfter = end
	}
	names, addresses := splitNamesAndIPs([]string{l.host})
	template := &x509.Certificate{
		// The host is not in the subject: verifiers that look there take an IP address for a name, which is not
		// permitted.
		Subject:               pkix.Name{Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		DNSNames:              names,
		IPAddresses:           addresses,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := sign(template, ca.signer, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.host, err)
	}
	return &tls.Certificate{
		// Without the root: an app that trusts it has it, and others must not get it from the connection that it
		// authenticates.
		Certificate: [][]byte{cert.Raw, ca.signer.Raw},
		PrivateKey:  key,
		Leaf:        cert,
	}, nil
}
