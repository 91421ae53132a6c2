package localca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"etrusted-broker/proxy/localca"
)

const (
	api   = "api.etrusted.com"
	login = "login.etrusted.com"
)

var both = []string{api, login}

func open(t testing.TB, dir string, hosts ...string) *localca.CA {
	t.Helper()
	a, err := localca.OpenOrCreate(dir, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trusting returns a client configuration that trusts only the CA, and requests the host.
func trusting(t testing.TB, a *localca.CA, host string) *tls.Config {
	t.Helper()
	return &tls.Config{RootCAs: pool(t, a.CertificatePEM()), ServerName: host}
}

func pool(t testing.TB, certificates ...[]byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	for _, c := range certificates {
		if !p.AppendCertsFromPEM(c) {
			t.Fatal("pool: no certificate in the PEM data")
		}
	}
	return p
}

// handshake is the result of a handshake, after which the server writes one byte.
type handshake struct {
	client             tls.ConnectionState
	clientErr, servErr error
}

func (s handshake) err() error { return errors.Join(s.clientErr, s.servErr) }

func shake(server, client *tls.Config) handshake {
	near, far := net.Pipe()
	defer near.Close()
	// A pipe has no buffer: the client's alert could block while the server blocks on writing.
	deadline := time.Now().Add(5 * time.Second)
	_, _ = near.SetDeadline(deadline), far.SetDeadline(deadline)
	done := make(chan error)
	go func() {
		s := tls.Server(far, server)
		defer far.Close()
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		done <- err
	}()
	c := tls.Client(near, client)
	_, err := io.ReadFull(c, make([]byte, 1))
	near.Close()
	return handshake{c.ConnectionState(), err, <-done}
}

// leafOf returns the certificate that a verifying client receives.
func leafOf(t testing.TB, a *localca.CA, host string) *x509.Certificate {
	t.Helper()
	s := shake(a.TLSConfig(net.JoinHostPort(host, "443")), trusting(t, a, host))
	if s.err() != nil {
		t.Fatal(s.err())
	}
	return s.client.PeerCertificates[0]
}

// stolen is the content of ca.key in an attacker's hands.
type stolen struct {
	signer *x509.Certificate
	key    *ecdsa.PrivateKey
}

func steal(t testing.TB, dir string) stolen {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	return stolen{pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)}
}

// forge signs a certificate with the stolen key.
func (s stolen) forge(t testing.TB, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(template)
	return signed(t, template, s.signer, s.key)
}

// signed creates a certificate, self-signed without a parent.
func signed(t testing.TB, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// inMemory returns a directory in memory if possible: without disk latency, races are more likely to show.
func inMemory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "localca")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
