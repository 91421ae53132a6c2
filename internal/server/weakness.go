package server

import (
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
	"etrusted-broker/tokensource"
)

const (
	expiresSoon = 7 * 24 * time.Hour
	// authorityExpiresSoon leaves time to make apps trust another.
	authorityExpiresSoon = 90 * 24 * time.Hour
)

// tellOfExposure warns if other machines may reach the app's listener, and something should keep them out.
func (b *broker) tellOfExposure(exposed bool, c config.Config) {
	switch {
	case exposed && !c.Guarded():
		b.unsafe.Store(true)
		b.log.Warn("BROKER_UNSAFE_LISTEN is set: whoever reaches the app's listener can use the credentials")
	case exposed && c.TLSCertFile == "":
		b.log.Warn("the access key crosses the network in clear: set BROKER_TLS_CERT_FILE and BROKER_TLS_KEY_FILE")
	}
}

// tellOfWeakness warns of what works and yet should not stay so.
func (b *broker) tellOfWeakness(c config.Config) {
	if n := len(c.AccessKey.Reveal()); n > 0 && n < config.ShortKey {
		b.log.Warn("the access key is short, and could be found by trying: make one with 'openssl rand -hex 32'")
	}
	if b.guards.certificates != nil && time.Until(b.guards.certificates.expires()) < expiresSoon {
		b.log.Warn("the TLS certificate expires soon, or has expired: renew it", zap.Time("expires", b.guards.certificates.expires()))
	}
	if b.tunnels != nil && time.Until(b.tunnels.authority.NotAfter()) < authorityExpiresSoon {
		b.log.Warn("the authority in BROKER_INTERCEPT_CA_DIR expires soon: apps have to be made to trust another. Remove ca.crt and ca.key, restart the broker, and see 'broker ca'",
			zap.Time("expires", b.tunnels.authority.NotAfter()))
	}
	if c.AccessLog && c.LogLevel > zapcore.InfoLevel {
		b.log.Warn("BROKER_ACCESS_LOG has no effect, since its lines are of the level info: set BROKER_LOG_LEVEL to that")
	}
	if c.Store != nil && c.Store.Clear {
		b.log.Warn("the way to the token store is not encrypted: tokens are sealed, but its password crosses the network in clear. Use rediss://")
	}
	b.tellOfOpenFiles(c.ClientIDFile, c.ClientSecretFile, c.AccessKeyFile, c.TLSKeyFile, c.TokenStoreFile)
	for _, account := range b.accounts.Snapshots() {
		b.tellOfAccountFiles(c.AccountsDir, account.Account)
	}
}

// tellOfAccountFiles is for an account that has a folder.
func (b *broker) tellOfAccountFiles(dir, account string) {
	if account != tokensource.DefaultAccount {
		b.tellOfOpenFiles(filepath.Join(dir, account, "client_id"), filepath.Join(dir, account, "client_secret"))
	}
}

// tellOfOpenFiles warns of secret files that others may read. An empty path is none.
func (b *broker) tellOfOpenFiles(paths ...string) {
	for _, path := range paths {
		if mode, open := harden.WorldReadable(path); open {
			b.log.Warn("a secret file may be read by every user of this machine: take that away with chmod o-r",
				zap.String("file", path), zap.String("mode", fmt.Sprintf("%04o", mode)))
		}
	}
}
