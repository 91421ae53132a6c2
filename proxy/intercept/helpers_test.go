package intercept_test

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

	"etrusted-broker/proxy/intercept"
)

const (
	api   = "api.etrusted.com"
	login = "login.etrusted.com"
)

var both = []string{api, login}

func open(t testing.TB, dir string, hosts ...string) *intercept.Authority {
	t.Helper()
	a, err := intercept.Open(dir, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trusting is a client that trusts the authority and nobody else, and asks for the host.
func trusting(t testing.TB, a *intercept.Authority, host string) *tls.Config {
	t.Helper()
	return &tls.Config{RootCAs: pool(t, a.CertificatePEM()), ServerName: host}
}

func pool(t testing.TB, certificates ...[]byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	for _, c := range certificates {
		if !p.AppendCertsFromPEM(c) {
			t.Fatal("no certificate")
		}
	}
	return p
}

// shaken is what both sides have of a handshake, after which the server said one byte.
type shaken struct {
	client             tls.ConnectionState
	clientErr, servErr error
}

func (s shaken) err() error { return errors.Join(s.clientErr, s.servErr) }

func shake(server, client *tls.Config) shaken {
	near, far := net.Pipe()
	defer near.Close()
	// A pipe holds nothing: an alert of the client waits for a server that waits to be read.
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
	return shaken{c.ConnectionState(), err, <-done}
}

// leafOf is the certificate that a client gets, who verifies it.
func leafOf(t testing.TB, a *intercept.Authority, host string) *x509.Certificate {
	t.Helper()
	s := shake(a.TLSConfig(host), trusting(t, a, host))
	if s.err() != nil {
		t.Fatal(s.err())
	}
	return s.client.PeerCertificates[0]
}

// stolen is what somebody has who could read ca.key.
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

// forge signs what it is told to.
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

// signed makes a certificate, which signs itself if it has no parent.
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

// inMemory is a folder where nothing waits for a disk, if there is such a place: what is rare happens there sooner.
func inMemory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "intercept")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
