// Package localca is the broker's own certificate authority, for apps whose API URL https://api.etrusted.com cannot be
// changed. They use the broker as their HTTPS proxy, and it presents certificates for the few configured hosts.
//
// Such a CA is dangerous in the wrong hands: its key can impersonate every host that the apps believe it may certify. So
// its certificate has critical name constraints that permit only the configured hosts.
//
// Java ignores the constraints of a trust anchor, as RFC 5280 section 6.1.1 permits, and checks only those of
// intermediate certificates. So there is an intermediate, the signer, with the same constraints. Only the signer's key
// is stored. The root's key signs the signer when both are created, and is then discarded, so it cannot be stolen.
package localca

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"etrusted-broker/internal/hostport"
)

// CA is a certificate authority for a few hosts, with the certificates that it has signed for them. Its methods are
// safe for concurrent use.
type CA struct {
	path   string            // of ca.crt
	root   *x509.Certificate // trusted by apps
	signer *x509.Certificate // signed by root
	key    *ecdsa.PrivateKey // the signer's

	mu           sync.Mutex
	targets      map[string]bool             // HOST:PORT
	certificates map[string]*tls.Certificate // by host; nil before its first handshake
}

// OpenOrCreate returns the CA stored in the directory dir, which must exist, for hosts of the form HOST or HOST:PORT, where HOST is
// a name or an IP address (IPv6 in brackets) and PORT defaults to 443. There must be at least one. A host at port 443 is one at
// port 80 too: some clients use CONNECT for http URLs. ca.key is the whole CA: the signer's key and both certificates. ca.crt is a
// copy of the one that apps must trust.
//
// If neither file exists, OpenOrCreate creates both: the key with mode 0600, never wider, and the certificate with mode 0644,
// whatever the umask. Concurrent calls, in this or other processes, all return the same CA.
//
// OpenOrCreate never replaces existing files, because apps trust them. It fails if ca.key is missing, broken, expired or for other
// hosts, if it is accessible to other users than its owner (not checked on Windows), or if ca.crt is not its certificate.
//
// The errors say what to do and contain nothing of the key.
func OpenOrCreate(dir string, hosts []string) (*CA, error) {
	return openOrCreate(dir, hosts, nil, false)
}

// OpenOrCreateForAccounts is OpenOrCreate for hosts to which accounts add others, which come and go. A new CA is for the hosts and
// currentAccountHosts. An existing one must be for the hosts, and may be for others. The CA signs only for the hosts until
// SetHosts is called.
func OpenOrCreateForAccounts(dir string, hosts, currentAccountHosts []string) (*CA, error) {
	return openOrCreate(dir, hosts, currentAccountHosts, true)
}

// openOrCreate opens the CA for some hosts, or creates it for these and accountHosts. An existing one may permit others only
// with existingMayPermitOthers.
func openOrCreate(dir string, hosts, accountHosts []string, existingMayPermitOthers bool) (*CA, error) {
	a := new(CA)
	names, err := a.setHosts(hosts)
	if err != nil {
		return nil, err
	}
	all, err := new(CA).setHosts(slices.Concat(hosts, accountHosts))
	if err != nil {
		return nil, err
	}
	d, err := openExistingDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.root.Close() }() // nothing is buffered

	a.path = d.filePath(certName)
	// ca.crt is examined first, because a broker creates ca.key first.
	if d.exists(certName) && !d.exists(keyName) {
		return nil, d.fileErrorf(certName, "exists without ca.key: restore ca.key, or "+replaceAdvice)
	}
	file, err := d.readOrCreate(keyName, keyMode, func() ([]byte, error) { return newCAKeyFile(all) })
	if err != nil {
		return nil, err
	}
	if a.root, a.signer, a.key, err = parseCAKeyFile(file); err != nil {
		return nil, d.fileErrorf(keyName, "%w", err)
	}
	if err := verifyCA(a.root, a.signer, names, existingMayPermitOthers); err != nil {
		return nil, d.fileErrorf(keyName, "%w", err)
	}
	published, err := d.readOrCreate(certName, certMode, func() ([]byte, error) { return a.CertificatePEM(), nil })
	if err != nil {
		return nil, err
	}
	// Apps would trust anything else in it. Line breaks may have become CRLF in a copy.
	if !bytes.Equal(bytes.TrimSpace(bytes.ReplaceAll(published, []byte("\r\n"), []byte("\n"))), bytes.TrimSpace(a.CertificatePEM())) {
		return nil, d.fileErrorf(certName, "is not the certificate in ca.key: remove ca.crt, and the broker creates it again")
	}
	return a, nil
}

// SetHosts replaces the hosts for which the CA signs. It leaves out those that its certificate does not permit, which it returns:
// an app would refuse their certificates. Invalid hosts are left out too.
func (a *CA) SetHosts(hosts []string) (refused []string) {
	permitted := permittedHosts(a.root)
	allowed := slices.DeleteFunc(slices.Clone(hosts), func(text string) bool {
		host, _, ok := hostport.Split(text)
		outside := ok && !slices.Contains(permitted, host)
		if outside {
			refused = append(refused, text)
		}
		return !ok || outside
	})
	_, _ = a.setHosts(allowed) // all are valid
	return refused
}

// setHosts sets the hosts for which the CA signs, and returns their names, sorted: the order of the configuration does not matter.
func (a *CA) setHosts(hosts []string) (sortedNames []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	targets, certificates := map[string]bool{}, map[string]*tls.Certificate{}
	for _, text := range hosts {
		host, port, ok := hostport.Split(text)
		if !ok {
			return nil, fmt.Errorf("%q is not a valid host: use HOST or HOST:PORT, with a name or an IP address", text)
		}
		if port = cmp.Or(port, "443"); port == "443" {
			targets[net.JoinHostPort(host, "80")] = true
		}
		targets[net.JoinHostPort(host, port)] = true
		certificates[host] = a.certificates[host]
	}
	a.targets, a.certificates = targets, certificates
	return slices.Sorted(maps.Keys(certificates)), nil
}

// AllowsHost reports whether the target of a CONNECT, HOST:PORT, is a configured host with its configured port. Case
// and a trailing dot of the name are ignored.
func (a *CA) AllowsHost(target string) bool {
	host, port, ok := hostport.Split(target)
	a.mu.Lock()
	defer a.mu.Unlock()
	return ok && a.targets[net.JoinHostPort(host, port)]
}

// TLSConfig returns the server configuration for a connection that an app opened with CONNECT to host, which may
// include a port. Its certificate for host is renewed automatically.
//
// A handshake fails if the app's SNI names a different host (no SNI is fine), or if host is not configured.
func (a *CA) TLSConfig(host string) *tls.Config {
	return &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.certificateFor(host, hello.ServerName)
		},
		MinVersion: tls.VersionTLS12,
		// The server that reads the decrypted requests speaks HTTP/1.1.
		NextProtos: []string{"http/1.1"},
		// Tickets would be useless, because each configuration would have its own ticket key. With a shared key, a
		// session from a CONNECT to one host could be resumed in a CONNECT to another without checking the name.
		SessionTicketsDisabled: true,
	}
}

// ServerNameTLS returns the server configuration for connections of apps that take the broker for one of the hosts. SNI (RFC 6066
// section 3) says for which. Without it, or with another name, the handshake fails with the alert unrecognized_name.
func (a *CA) ServerNameTLS() *tls.Config {
	c := a.TLSConfig("")
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := a.certificateFor(hello.ServerName, "")
		if errors.Is(err, errHostNotConfigured) {
			return nil, nil // crypto/tls sends the alert
		}
		return certificate, err
	}
	return c
}

// CertificatePath returns the absolute path of the certificate that apps must trust.
func (a *CA) CertificatePath() string { return a.path }

// CertificatePEM returns the certificate that apps must trust.
func (a *CA) CertificatePEM() []byte { return encodeCertificatePEM(a.root) }

// NotAfter returns when the CA certificate expires. After that, apps reject every certificate that the CA has signed.
func (a *CA) NotAfter() time.Time { return a.root.NotAfter }
