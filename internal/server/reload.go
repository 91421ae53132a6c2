package server

import (
	"context"
	"path/filepath"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
)

// credentialReloader reloads the access key and the TLS certificates of the app's listener when their files change.
type credentialReloader struct {
	log          *zap.Logger
	keys         *access.Keys // nil without an access key
	keyFile      string       // empty if the key cannot change
	certificates *certificates
	lastErrors   map[string]string // by variable: the same error is logged once
}

func newCredentialReloader(c config.Config, log *zap.Logger) (*credentialReloader, error) {
	certificates, err := newCertificates(c.TLSFiles())
	if err != nil {
		return nil, err
	}
	g := &credentialReloader{log: log, keyFile: c.AccessKeyFile, certificates: certificates, lastErrors: map[string]string{}}
	if text := c.AccessKey.Reveal(); text != "" {
		g.keys = access.NewKeys(text)
	}
	return g, nil
}

// run reloads the files whenever they change, until ctx is done.
func (g *credentialReloader) run(ctx context.Context) {
	folders := g.watchedDirs()
	filewatch.WatchDirs(ctx, func() []string { return folders }, func() {
		g.reloadKey()
		g.reloadCertificates()
	})
}

func (g *credentialReloader) watchedDirs() []string {
	var folders []string
	if g.keyFile != "" {
		folders = append(folders, filepath.Dir(g.keyFile))
	}
	if g.certificates != nil {
		folders = append(folders, g.certificates.watchedDirs()...)
	}
	return folders
}

func (g *credentialReloader) reloadKey() {
	if g.keyFile == "" {
		return
	}
	key, err := config.ReadAccessKey(g.keyFile)
	if err != nil {
		g.warnOnce("BROKER_ACCESS_KEY_FILE", err.Error(), "cannot read the access key; keeping the old one")
		return
	}
	delete(g.lastErrors, "BROKER_ACCESS_KEY_FILE")
	if g.keys.Rotate(key.Reveal()) {
		g.log.Info("access key changed; the old one stays valid for one more minute")
	}
}

func (g *credentialReloader) reloadCertificates() {
	if g.certificates == nil {
		return
	}
	changed, err := g.certificates.reload()
	if err != nil {
		g.warnOnce("BROKER_TLS_CERT_FILE", err.Error(), "cannot use the new TLS certificates; keeping the old ones")
		return
	}
	delete(g.lastErrors, "BROKER_TLS_CERT_FILE")
	if changed {
		g.log.Info("TLS certificates reloaded", zap.Time("expires", g.certificates.notAfter()))
	}
}

func (g *credentialReloader) warnOnce(file, reason, message string) {
	if g.lastErrors[file] != reason {
		g.lastErrors[file] = reason
		g.log.Warn(message, zap.String("reason", reason))
	}
}
