package intercept

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	leafLife = 7 * 24 * time.Hour
	// Connections that are open keep the certificate that they began with. It also leaves room for clocks that differ.
	leafSpare = 2 * 24 * time.Hour
)

// certificate returns one for the host of a CONNECT, if the app asks for no other in the handshake. Two names on the way to
// one server are a sign that the app is confused, or means to confuse whoever looks at one of them only.
func (a *Authority) certificate(connected, serverName string) (*tls.Certificate, error) {
	t, ok := parseTarget(connected)
	l := a.leaves[t.host]
	if !ok || l == nil {
		return nil, fmt.Errorf("no certificate is made for %q", connected)
	}
	if serverName != "" {
		if asked, ok := canonical(serverName); !ok || asked != t.host {
			return nil, fmt.Errorf("the app asked for %q in a connection to %s", serverName, t.host)
		}
	}
	return l.get()
}

// leaf is the certificate of one host, with a key that is never written anywhere.
type leaf struct {
	host      string
	authority *Authority

	current atomic.Pointer[tls.Certificate]
	renewal sync.Mutex
}

// get renews the certificate if it is time. Handshakes wait for each other only then, for the fraction of a millisecond
// that it takes.
func (l *leaf) get() (*tls.Certificate, error) {
	if c := l.current.Load(); l.isGood(c) {
		return c, nil
	}
	l.renewal.Lock()
	defer l.renewal.Unlock()
	if c := l.current.Load(); l.isGood(c) {
		return c, nil // somebody else's work
	}
	c, err := l.issue()
	if err != nil {
		return nil, err
	}
	l.current.Store(c)
	return c, nil
}

// isGood goes by the wall clock: a time that was read from a certificate has no other. A timer, or a time that was taken
// from time.Now, would stand still while a laptop is suspended. A clock that was in the future when the certificate was
// made is noticed too.
func (l *leaf) isGood(c *tls.Certificate) bool {
	if c == nil {
		return false
	}
	now, end := time.Now(), c.Leaf.NotAfter
	if !end.Equal(l.authority.root.NotAfter) { // after which there is no other to be had
		end = end.Add(-leafSpare)
	}
	return !now.Before(c.Leaf.NotBefore) && now.Before(end)
}

func (l *leaf) issue() (*tls.Certificate, error) {
	ca := l.authority
	now := time.Now()
	if now.After(ca.root.NotAfter) {
		return nil, fmt.Errorf("%s expired on %s: "+another, ca.path, day(ca.root.NotAfter))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key for %s: %w", l.host, err)
	}
	names, addresses := splitAddresses([]string{l.host})
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// The host is not in the subject: where some look for it, they take an address for a name, which is not permitted.
		Subject:               pkix.Name{Organization: []string{organization}},
		NotBefore:             now.Add(-backdated),
		NotAfter:              earlier(now.Add(leafLife-backdated), ca.root.NotAfter),
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
		// Without the root: who trusts it has it, and who does not must not be handed it by the connection that it is to
		// vouch for.
		Certificate: [][]byte{cert.Raw, ca.signer.Raw},
		PrivateKey:  key,
		Leaf:        cert,
	}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
