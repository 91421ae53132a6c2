package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/callers"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// appKeysAndTLSReloader has the access keys and TLS certificates of the app's listener, which are reloaded when their files change.
type appKeysAndTLSReloader struct {
	log           *zap.Logger
	keys          *access.Keys // nil without an access key
	keyFile       string       // empty if the keys cannot change
	loadTLS       func() (*tls.Config, error)
	tls           atomic.Pointer[tls.Config] // nil without TLS
	watched       []string                   // the directories of the files
	reloadTrigger filewatch.Trigger
	lastErrors    map[string]string // by message: the same error is logged once
}

func newAppKeysAndTLSReloader(c config.Config, log *zap.Logger) (*appKeysAndTLSReloader, error) {
	a := &appKeysAndTLSReloader{log: log, keyFile: c.AccessKeyFile, loadTLS: c.LoadTLS, reloadTrigger: filewatch.NewTrigger(), lastErrors: map[string]string{}}
	loaded, err := c.LoadTLS()
	if err != nil {
		return nil, err
	}
	a.tls.Store(loaded)
	if len(c.AccessKeys) > 0 {
		a.keys = access.NewKeys(revealed(c.AccessKeys)...)
	}
	for _, file := range []string{c.AccessKeyFile, c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile} {
		if file != "" {
			a.watched = append(a.watched, filepath.Dir(file))
		}
	}
	return a, nil
}

// run checks the files whenever they may have changed, at least every 7 s, until ctx is done. It calls onReload after each check: a
// removed key ceases to be valid later.
func (a *appKeysAndTLSReloader) run(ctx context.Context, onReload func()) {
	filewatch.WatchDirs(ctx, func() []string { return a.watched }, a.reloadTrigger, func() {
		a.reloadKeys()
		a.reloadTLS()
		onReload()
	})
}

// reloadOn reads all files at each signal, until ctx is done. The broker watches them, but events of some file systems are missing.
func (b *broker) reloadOn(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			b.log.Info("SIGHUP: reading the credentials, access keys, certificates, accounts and callers again; variables count from the next start")
			b.accounts.Reread()
			b.keysAndTLS.reloadTrigger.Pull()
			if b.callers != nil {
				b.callers.reloadTrigger.Pull()
			}
		}
	}
}

func (a *appKeysAndTLSReloader) reloadKeys() {
	if a.keyFile == "" || !filewatch.IsSettledOrMissing(a.keyFile) { // a half-written key would be easier to guess
		return
	}
	keys, err := config.ReadAccessKeys(a.keyFile)
	if !a.failed("cannot read the access keys; keeping the old ones", err) && a.keys.Replace(revealed(keys)...) {
		a.log.Info("access keys changed; a removed one stays valid for one more minute")
	}
}

func revealed(secrets []tokensource.Secret) (texts []string) {
	for _, secret := range secrets {
		texts = append(texts, secret.Reveal())
	}
	return texts
}

func (a *appKeysAndTLSReloader) reloadTLS() {
	before := a.tls.Load()
	if before == nil {
		return
	}
	next, err := a.loadTLS()
	if a.failed("cannot use the new TLS certificates; keeping the old ones", err) {
		return
	}
	sameChain := slices.EqualFunc(before.Certificates[0].Certificate, next.Certificates[0].Certificate, bytes.Equal)
	if !sameChain || !before.ClientCAs.Equal(next.ClientCAs) {
		a.tls.Store(next)
		a.log.Info("TLS certificates reloaded", zap.Time("expires", next.Certificates[0].Leaf.NotAfter))
	}
}

// failed reports whether there is an error, and logs it unless it is the one that the last call with the message had.
func (a *appKeysAndTLSReloader) failed(message string, err error) bool {
	if err == nil {
		delete(a.lastErrors, message)
		return false
	}
	if reason := err.Error(); a.lastErrors[message] != reason {
		a.lastErrors[message] = reason
		a.log.Warn(message, zap.String("reason", reason))
	}
	return true
}

// clientTLSConn is a TLS connection of a client. It can outlive the client's certificate and its CA, so each request verifies the
// certificate again. Its fields need no lock: a connection carries one request at a time.
type clientTLSConn struct {
	*tls.Conn
	roots      *x509.CertPool // the CAs that verified it last; nil before the first request
	validUntil time.Time      // when the first certificate in its chain expires
	names      []string       // its identities; nil before the first request
}

// certificateIdentities returns what can identify the client as a caller; nil if it has presented no certificate.
func (c *clientTLSConn) certificateIdentities() []string {
	if presented := c.ConnectionState().PeerCertificates; c.names == nil && len(presented) > 0 {
		c.names = callers.CertificateIdentities(presented[0])
	}
	return c.names
}

// listener returns l, or a TLS listener on l that uses the current certificates at each handshake.
func (a *appKeysAndTLSReloader) listener(l net.Listener) net.Listener {
	if a.tls.Load() == nil {
		return l
	}
	tlsConfig := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.tls.Load(), nil },
	}
	return connWrappingListener{l, func(accepted net.Conn) net.Conn { return &clientTLSConn{Conn: tls.Server(accepted, tlsConfig)} }}
}

// verifyCertificate reports whether the CAs trust the certificate now. It verifies signatures only if the CAs have changed since the
// last call, or if the certificate has expired.
func (c *clientTLSConn) verifyCertificate(roots *x509.CertPool) bool {
	if c.roots == roots && time.Now().Before(c.validUntil) {
		return true
	}
	presented := c.ConnectionState().PeerCertificates
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
	c.roots, c.validUntil = roots, earliestExpiry(chains[0])
	return true
}

// earliestExpiry returns when the first certificate of a chain expires.
func earliestExpiry(chain []*x509.Certificate) time.Time {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// clientTrusted reports whether the CAs in use now trust a connection's client certificate, or none is required.
func (a *appKeysAndTLSReloader) clientTrusted(conn net.Conn) bool {
	current := a.tls.Load()
	if current == nil || current.ClientCAs == nil {
		return true
	}
	client, ok := conn.(*clientTLSConn)
	return ok && client.verifyCertificate(current.ClientCAs)
}

// expiresWhileIdle reports whether a connection's client certificate is trusted, but expires within the idle timeout.
func (a *appKeysAndTLSReloader) expiresWhileIdle(conn net.Conn) bool {
	client, ok := conn.(*clientTLSConn)
	return ok && a.clientTrusted(conn) && client.roots != nil && time.Until(client.validUntil) < clientIdleTimeout
}
