package localca_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const day = 24 * time.Hour

func TestRenewsCertificate(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	synctest.Test(t, func(t *testing.T) {
		a := open(t, dir, both...)
		first := leafOf(t, a, api)
		if age, life := time.Since(first.NotBefore), first.NotAfter.Sub(first.NotBefore); age != time.Hour || life != 7*day {
			t.Errorf("certificate is %v old, of %v, want 1h of 7 days", age, life)
		}
		if other := leafOf(t, a, login); same(first, other) {
			t.Error("two hosts have one certificate")
		}
		time.Sleep(5*day - time.Hour - time.Second) // two days and a second are left
		if !same(first, leafOf(t, a, api)) {
			t.Error("renewed too early")
		}
		time.Sleep(2 * time.Second)
		second := leafOf(t, a, api)
		if same(first, second) {
			t.Error("not renewed")
		}
		if first.PublicKey.(*ecdsa.PublicKey).Equal(second.PublicKey) {
			t.Error("the key is still the old one")
		}
		time.Sleep(300 * day) // suspended
		if same(second, leafOf(t, a, api)) {
			t.Error("not renewed after a long sleep")
		}
	})
}

func TestConcurrentHandshakesRenewOnce(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	synctest.Test(t, func(t *testing.T) {
		a := open(t, dir, both...)
		old := leafOf(t, a, api)
		for range 20 {
			time.Sleep(6 * day)
			var all sync.WaitGroup
			got := make([]*tls.Certificate, 8)
			for i := range got {
				all.Go(func() { got[i], _ = a.TLSConfig(api).GetCertificate(&tls.ClientHelloInfo{}) })
			}
			all.Wait()
			for _, c := range got {
				if c == nil || c != got[0] || same(c.Leaf, old) {
					t.Fatal("concurrent handshakes got different or old certificates, want the same new one")
				}
			}
			old = got[0].Leaf
		}
	})
}

func TestCertificatesEndWithCA(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	synctest.Test(t, func(t *testing.T) {
		a := open(t, dir, both...)
		time.Sleep(time.Until(a.NotAfter()) - 3*day)
		last := leafOf(t, a, api)
		if !last.NotAfter.Equal(a.NotAfter()) {
			t.Errorf("certificate ends %v after the CA, want together", last.NotAfter.Sub(a.NotAfter()))
		}
		time.Sleep(3*day - time.Second)
		if !same(last, leafOf(t, a, api)) {
			t.Error("renewed without a longer lifetime")
		}
		time.Sleep(3 * time.Second)
		s := shake(a.TLSConfig(api), trusting(t, a, api))
		if s.servErr == nil || !strings.Contains(s.servErr.Error(), "expired on 2010-01-01: remove ca.crt and ca.key") {
			t.Errorf("server error %v, want that the CA has expired", s.servErr)
		}
	})
}

// The first certificate is from 26 years after the bubble's time.
func TestReissuesAfterClockIsSetBack(t *testing.T) {
	t.Parallel()
	a := open(t, inMemory(t), both...)
	ahead := leafOf(t, a, api)
	synctest.Test(t, func(t *testing.T) {
		c, err := a.TLSConfig(api).GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if same(c.Leaf, ahead) || time.Now().Before(c.Leaf.NotBefore) {
			t.Error("the certificate is not valid yet")
		}
	})
}

// Verifiers already have the root.
func TestSendsChainWithoutRoot(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	a := open(t, dir, both...)
	s := shake(a.TLSConfig(api), trusting(t, a, api))
	if chain := s.client.PeerCertificates; len(chain) != 2 || !chain[1].Equal(steal(t, dir).signer) {
		t.Errorf("%d certificates (%v), want leaf and signer", len(chain), s.err())
	}
}

func same(a, b *x509.Certificate) bool { return a.SerialNumber.Cmp(b.SerialNumber) == 0 }
