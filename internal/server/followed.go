package server

import (
	"context"
	"path/filepath"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
)

// guards are what lets apps in that can prove who they are. They are followed while the broker runs.
type guards struct {
	log          *zap.Logger
	keys         *access.Keys // nil if none is asked for
	keyFile      string       // empty if the key cannot change
	certificates *certificates
	told         map[string]string // the last trouble with each file: it is not told every time that it is looked at
}

func newGuards(c config.Config, log *zap.Logger) (*guards, error) {
	certificates, err := newCertificates(c.TLSFiles())
	if err != nil {
		return nil, err
	}
	g := &guards{log: log, keyFile: c.AccessKeyFile, certificates: certificates, told: map[string]string{}}
	if text := c.AccessKey.Reveal(); text != "" {
		g.keys = access.NewKeys(text)
	}
	return g, nil
}

// follow reads the files again whenever they change, until ctx is done.
func (g *guards) follow(ctx context.Context) {
	folders := g.folders()
	filewatch.WatchDirs(ctx, func() []string { return folders }, func() {
		g.rereadKey()
		g.rereadCertificates()
	})
}

func (g *guards) folders() []string {
	var folders []string
	if g.keyFile != "" {
		folders = append(folders, filepath.Dir(g.keyFile))
	}
	if g.certificates != nil {
		folders = append(folders, g.certificates.folders()...)
	}
	return folders
}

func (g *guards) rereadKey() {
	if g.keyFile == "" {
		return
	}
	key, err := config.ReadAccessKey(g.keyFile)
	if err != nil {
		g.trouble("BROKER_ACCESS_KEY_FILE", err.Error(), "the access key cannot be read: the one that there was stays in use")
		return
	}
	delete(g.told, "BROKER_ACCESS_KEY_FILE")
	if g.keys.Rotate(key.Reveal()) {
		g.log.Info("the access key has changed: the one before is taken for a minute more")
	}
}

func (g *guards) rereadCertificates() {
	if g.certificates == nil {
		return
	}
	changed, err := g.certificates.reload()
	if err != nil {
		g.trouble("BROKER_TLS_CERT_FILE", err.Error(), "the TLS certificates cannot be used: those that there were stay in use")
		return
	}
	delete(g.told, "BROKER_TLS_CERT_FILE")
	if changed {
		g.log.Info("the TLS certificates have changed", zap.Time("expires", g.certificates.expires()))
	}
}

func (g *guards) trouble(file, reason, message string) {
	if g.told[file] != reason {
		g.told[file] = reason
		g.log.Warn(message, zap.String("reason", reason))
	}
}
