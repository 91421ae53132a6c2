package server

import (
	"context"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// credentialReloader reloads the access keys and the TLS certificates of the app's listener when their files change.
type credentialReloader struct {
	log           *zap.Logger
	keys          *access.Keys // nil without an access key
	keyFile       string       // empty if the keys cannot change
	certificates  *certificates
	watched       []string // the directories of the files
	reloadTrigger filewatch.Trigger
	lastErrors    map[string]string // by message: the same error is logged once
}

func newCredentialReloader(c config.Config, log *zap.Logger) (*credentialReloader, error) {
	loaded, err := newCertificates(c.LoadTLS)
	if err != nil {
		return nil, err
	}
	r := &credentialReloader{log: log, keyFile: c.AccessKeyFile, certificates: loaded, reloadTrigger: filewatch.NewTrigger(), lastErrors: map[string]string{}}
	if len(c.AccessKeys) > 0 {
		r.keys = access.NewKeys(revealed(c.AccessKeys)...)
	}
	for _, file := range []string{c.AccessKeyFile, c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile} {
		if file != "" {
			r.watched = append(r.watched, filepath.Dir(file))
		}
	}
	return r, nil
}

// run reloads the files whenever they change, until ctx is done. It calls onReload each time: also later, when a key that was
// removed has ceased to be valid.
func (r *credentialReloader) run(ctx context.Context, onReload func()) {
	filewatch.WatchDirs(ctx, func() []string { return r.watched }, r.reloadTrigger, func() {
		r.reloadKeys()
		r.reloadCertificates()
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
			b.reloader.reloadTrigger.Pull()
			if b.callers != nil {
				b.callers.reloadTrigger.Pull()
			}
		}
	}
}

func (r *credentialReloader) reloadKeys() {
	if r.keyFile == "" || !filewatch.IsSettled(r.keyFile) { // a half-written key would be easier to guess
		return
	}
	keys, err := config.ReadAccessKeys(r.keyFile)
	if !r.failed("cannot read the access keys; keeping the old ones", err) && r.keys.Replace(revealed(keys)...) {
		r.log.Info("access keys changed; a removed one stays valid for one more minute")
	}
}

func revealed(secrets []tokensource.Secret) (texts []string) {
	for _, secret := range secrets {
		texts = append(texts, secret.Reveal())
	}
	return texts
}

func (r *credentialReloader) reloadCertificates() {
	if r.certificates == nil {
		return
	}
	changed, err := r.certificates.reload()
	if !r.failed("cannot use the new TLS certificates; keeping the old ones", err) && changed {
		r.log.Info("TLS certificates reloaded", zap.Time("expires", r.certificates.notAfter()))
	}
}

// failed reports whether there is an error, and logs it unless it is the one that the last call with the message had.
func (r *credentialReloader) failed(message string, err error) bool {
	if err == nil {
		delete(r.lastErrors, message)
		return false
	}
	if reason := err.Error(); r.lastErrors[message] != reason {
		r.lastErrors[message] = reason
		r.log.Warn(message, zap.String("reason", reason))
	}
	return true
}
