package server

import (
	"context"
	"path/filepath"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// credentialReloader reloads the access keys and the TLS certificates of the app's listener when their files change.
type credentialReloader struct {
	log          *zap.Logger
	keys         *access.Keys // nil without an access key
	keyFile      string       // empty if the keys cannot change
	certificates *certificates
	lastErrors   map[string]string // by variable: the same error is logged once
}

func newCredentialReloader(c config.Config, log *zap.Logger) (*credentialReloader, error) {
	loaded, err := newCertificates(c.TLSFiles())
	if err != nil {
		return nil, err
	}
	r := &credentialReloader{log: log, keyFile: c.AccessKeyFile, certificates: loaded, lastErrors: map[string]string{}}
	if len(c.AccessKeys) > 0 {
		r.keys = access.NewKeys(revealed(c.AccessKeys)...)
	}
	return r, nil
}

// run reloads the files whenever they change, until ctx is done.
func (r *credentialReloader) run(ctx context.Context) {
	dirs := r.watchedDirs()
	filewatch.WatchDirs(ctx, func() []string { return dirs }, func() {
		r.reloadKeys()
		r.reloadCertificates()
	})
}

func (r *credentialReloader) watchedDirs() []string {
	var dirs []string
	if r.keyFile != "" {
		dirs = append(dirs, filepath.Dir(r.keyFile))
	}
	if r.certificates != nil {
		dirs = append(dirs, r.certificates.watchedDirs()...)
	}
	return dirs
}

func (r *credentialReloader) reloadKeys() {
	if r.keyFile == "" || !filewatch.Settled(r.keyFile) { // half of a key is easier to find
		return
	}
	keys, err := config.ReadAccessKeys(r.keyFile)
	if err != nil {
		r.warnOnce("BROKER_ACCESS_KEY_FILE", err.Error(), "cannot read the access keys; keeping the old ones")
		return
	}
	delete(r.lastErrors, "BROKER_ACCESS_KEY_FILE")
	if r.keys.Replace(revealed(keys)...) {
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
	if err != nil {
		r.warnOnce("BROKER_TLS_CERT_FILE", err.Error(), "cannot use the new TLS certificates; keeping the old ones")
		return
	}
	delete(r.lastErrors, "BROKER_TLS_CERT_FILE")
	if changed {
		r.log.Info("TLS certificates reloaded", zap.Time("expires", r.certificates.notAfter()))
	}
}

// warnOnce logs an error about a variable's file, unless it is the last one.
func (r *credentialReloader) warnOnce(variable, reason, message string) {
	if r.lastErrors[variable] != reason {
		r.lastErrors[variable] = reason
		r.log.Warn(message, zap.String("reason", reason))
	}
}
