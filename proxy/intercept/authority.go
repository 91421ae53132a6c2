// Package intercept is the broker's own certificate authority, for apps that cannot be told another address than
// https://api.etrusted.com. They take the broker as their HTTPS proxy, and it answers for the few hosts that are
// configured with certificates of its own.
//
// Such an authority is dangerous in other hands: whoever has its key can pose as whatever the apps believe it to vouch
// for. So its certificate names, in critical name constraints, the configured hosts and nothing else.
//
// Java does not look at the constraints of a certificate that it was told to trust, as RFC 5280 (section 6.1.1) permits,
// but at those of the certificates in between alone. So there is one in between, the signer's, with the same constraints.
// Its key is the one that is kept. That of the certificate which apps trust signs the signer's when both are made, and is
// forgotten then: nobody can have it.
package intercept

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

// Authority is a certificate authority for a few hosts, and the certificates that it signs for them. Its methods may be
// called concurrently.
type Authority struct {
	path    string
	pem     []byte
	root    *x509.Certificate // trusted by apps
	signer  *x509.Certificate // signed by root
	key     *ecdsa.PrivateKey // the signer's
	targets []target
	leaves  map[string]*leaf // by host
}

// Open returns the authority that is kept in the folder dir, for the hosts: HOST or HOST:PORT, with port 443 if there is
// none. Names and IP addresses are both taken. In ca.crt is the certificate that apps must trust, and in ca.key what signs
// with it.
//
// If neither file is there, both are made: the key with mode 0600, never wider, and the certificate with mode 0644,
// whatever the umask. The folder must exist. Of several that make one at the same time, in this or in other processes,
// all get the same.
//
// What is there is never replaced, since apps trust it. It is an error if it is broken or incomplete, has expired, is for
// other hosts, or if others than its owner may read the key (which Windows cannot tell).
//
// The errors say what to do and hold nothing of the key.
func Open(dir string, hosts []string) (*Authority, error) {
	targets, err := parseTargets(hosts)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()

	names := hostsOf(targets)
	files, err := f.readOrCreate(func() (pair, error) { return newAuthority(names) })
	if err != nil {
		return nil, err
	}
	a := &Authority{path: f.path(certName), targets: targets, leaves: make(map[string]*leaf, len(names))}
	if a.root, a.pem, err = parseCertificate(files.cert); err != nil {
		return nil, f.problem(certName, "%w", err)
	}
	if a.signer, a.key, err = parseKey(files.key); err != nil {
		return nil, f.problem(keyName, "%w", err)
	}
	if err := check(a.root, a.signer, names); err != nil {
		return nil, f.problem(certName, "%w", err)
	}
	for _, name := range names {
		a.leaves[name] = &leaf{host: name, authority: a}
	}
	return a, nil
}

// Allows says whether the target of a CONNECT, HOST:PORT, is one of the configured hosts with its configured port. Case
// does not matter, nor does a dot at the end of a name.
func (a *Authority) Allows(hostport string) bool {
	t, ok := parseTarget(hostport)
	return ok && slices.Contains(a.targets, t)
}

// TLSConfig is for the server's side of a connection that an app opened by CONNECT to host, which may have a port behind
// it. It holds a certificate for that host, which is renewed by itself.
//
// A handshake fails if the app asks for another name than host's (by SNI; asking for none is fine), and always if host is
// not one of the configured ones.
func (a *Authority) TLSConfig(host string) *tls.Config {
	return &tls.Config{
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.certificate(host, hello.ServerName)
		},
		MinVersion: tls.VersionTLS12,
		// What is inside is read by the same server as a plain request is, and that speaks HTTP/1.1.
		NextProtos: []string{"http/1.1"},
		// A ticket could not be redeemed, since each of these configurations would have its own key for them. Were that shared,
		// a session got by a CONNECT to one host would be resumed in a CONNECT to the other, without a look at the name.
		SessionTicketsDisabled: true,
	}
}

// CertificatePath is the absolute path of the certificate that apps must trust.
func (a *Authority) CertificatePath() string { return a.path }

// CertificatePEM is the certificate that apps must trust.
func (a *Authority) CertificatePEM() []byte { return bytes.Clone(a.pem) }

// Expires is when apps will trust the authority no more: early enough before it, somebody should be told.
func (a *Authority) Expires() time.Time { return a.root.NotAfter }
