package localca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"etrusted-broker/internal/hostport"
)

const leafLifetime = 7 * 24 * time.Hour

var errHostNotConfigured = errors.New("is not a configured host")

// certificateFor returns the certificate for the target of a CONNECT, and renews it when due: handshakes wait for that, a
// fraction of a millisecond. It fails if the SNI names a different host: two names for one connection mean that the app is
// confused, or tries to get past a check of only one of them.
func (a *CA) certificateFor(target, serverName string) (*tls.Certificate, error) {
	host, _, _ := hostport.Split(target)
	a.mu.Lock()
	defer a.mu.Unlock()
	current, isConfigured := a.certificates[host]
	switch {
	case !isConfigured:
		return nil, fmt.Errorf("%q %w", target, errHostNotConfigured)
	case serverName != "" && !strings.EqualFold(serverName, host):
		return nil, fmt.Errorf("the app requested %q in a connection to %s", serverName, host)
	case current != nil && a.isFresh(current.Leaf):
		return current, nil
	}
	renewed, err := a.issue(host)
	if err != nil {
		return nil, fmt.Errorf("cannot certify %s: %w", host, err)
	}
	a.certificates[host] = renewed
	return renewed, nil
}

// isFresh compares wall clock times, because a certificate has no other. A timer, or a time from time.Now, would stop
// while a laptop is suspended. It also detects a clock that was ahead when the certificate was created.
func (a *CA) isFresh(leaf *x509.Certificate) bool {
	// Open connections keep the certificate of their handshake. The margin also allows for clock differences.
	const renewBefore = 2 * 24 * time.Hour
	now, end := time.Now(), leaf.NotAfter
	if !end.Equal(a.root.NotAfter) { // otherwise it cannot be renewed for longer
		end = end.Add(-renewBefore)
	}
	return !now.Before(leaf.NotBefore) && now.Before(end)
}

// issue returns a new certificate for a host. Its key exists only in memory.
func (a *CA) issue(host string) (*tls.Certificate, error) {
	now, notAfter := time.Now(), a.root.NotAfter
	if now.After(notAfter) {
		return nil, fmt.Errorf("%s expired on %s: "+replaceAdvice, a.path, formatDate(notAfter))
	}
	if end := now.Add(leafLifetime - backdate); end.Before(notAfter) {
		notAfter = end
	}
	names, addresses := splitNamesAndIPs([]string{host})
	cert, key, err := newCertificate(&x509.Certificate{
		// The host is not in the subject: verifiers that look there take an IP address for a name, which is not permitted.
		NotAfter:    notAfter,
		DNSNames:    names,
		IPAddresses: addresses,
		KeyUsage:    x509.KeyUsageDigitalSignature,
	}, a.signer, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{
		// Without the root: an app that trusts it has it, and others must not get it from the connection that it
		// authenticates.
		Certificate: [][]byte{cert.Raw, a.signer.Raw},
		PrivateKey:  key,
		Leaf:        cert,
	}, nil
}
