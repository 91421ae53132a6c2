package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// appCredentials are the access keys and TLS certificates of the app's listener, which are reloaded when their files change.
type appCredentials struct {
	log           *zap.Logger
	keys          *access.Keys // nil without an access key
	keyFile       string       // empty if the keys cannot change
	loadTLS       func() (*tls.Config, error)
	tls           atomic.Pointer[tls.Config] // nil without TLS
	watched       []string                   // the directories of the files
	reloadTrigger filewatch.Trigger
	lastErrors    map[string]string // by message: the same error is logged once
}

func newAppCredentials(c config.Config, log *zap.Logger) (*appCredentials, error) {
	a := &appCredentials{log: log, keyFile: c.AccessKeyFile, loadTLS: c.LoadTLS, reloadTrigger: filewatch.NewTrigger(), lastErrors: map[string]string{}}
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

// run reloads the files whenever they change, and calls onReload then and when a removed key has ceased to be valid, until ctx is done.
func (a *appCredentials) run(ctx context.Context, onReload func()) {
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
			b.credentials.reloadTrigger.Pull()
			if b.callers != nil {
				b.callers.reloadTrigger.Pull()
			}
		}
	}
}

func (a *appCredentials) reloadKeys() {
	if a.keyFile == "" || !filewatch.IsSettled(a.keyFile) { // a half-written key would be easier to guess
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

func (a *appCredentials) reloadTLS() {
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
func (a *appCredentials) failed(message string, err error) bool {
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
