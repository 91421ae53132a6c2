package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
	"etrusted-broker/internal/spelling"
	"etrusted-broker/tokensource"
)

const (
	certificateWarningPeriod = 7 * 24 * time.Hour
	// caWarningPeriod leaves time to make the apps trust a new CA.
	caWarningPeriod = 90 * 24 * time.Hour
)

// warn logs something that works but that the operator should fix, with its code in docs/troubleshooting.md.
func warn(log *zap.Logger, code, message string, fields ...zap.Field) {
	log.Warn(message, append(fields, zap.String("code", code))...)
}

// warnExposed warns if other machines can reach a listener for apps without sufficient protection.
func (b *broker) warnExposed(app, intercept bool) {
	switch {
	case (app || intercept) && !b.config.RequiresAuthentication():
		b.unsafe.Store(true)
		warn(b.log, "unsafe-listen", "BROKER_UNSAFE_LISTEN is set: every program that can reach the app's listener can use the credentials")
	case app && b.config.TLSCertFile == "":
		warn(b.log, "access-key-unencrypted", "the access key crosses the network unencrypted: set BROKER_TLS_CERT_FILE and BROKER_TLS_KEY_FILE")
	}
}

func (b *broker) warnInsecureConfig() {
	c := b.config
	isShort := func(key tokensource.Secret) bool { return len(key.Reveal()) < config.MinSafeKeyLength }
	if slices.ContainsFunc(c.AccessKeys, isShort) {
		warn(b.log, "access-key-short", "the access key is short and could be guessed: create one with 'openssl rand -hex 32'")
	}
	b.warnExpiring()
	if c.AllowMode == config.AllowModeWarn {
		warn(b.log, "allow-mode-warn", "BROKER_ALLOW_MODE=warn: requests that the allow list would refuse are forwarded, logged and counted")
	}
	if c.AccessLog && c.LogLevel > zapcore.InfoLevel {
		warn(b.log, "access-log-off", "BROKER_ACCESS_LOG has no effect: its lines have the level info, so set BROKER_LOG_LEVEL=info")
	}
	if c.Store != nil && c.Store.Plaintext {
		warn(b.log, "token-store-unencrypted", "the connection to the token store is not encrypted: tokens are, but its password is not. Use rediss://")
	}
	b.warnReadableFiles(c.ClientIDFile, c.ClientSecretFile, c.AccessKeyFile, c.TLSKeyFile, c.TokenStoreFile)
	if b.ca != nil {
		b.warnReadableFiles(filepath.Join(c.InterceptCADir, "ca.key"))
	}
	for _, account := range b.accounts.Snapshots() {
		b.warnReadableAccountFiles(account.Account)
	}
}

// warnExpiringDaily repeats the warnings about certificates daily until ctx is done: a broker may outlive them.
func (b *broker) warnExpiringDaily(ctx context.Context) {
	daily := time.Tick(24 * time.Hour)
	for {
		select {
		case <-ctx.Done():
			return
		case <-daily:
			b.warnExpiring()
		}
	}
}

func (b *broker) warnExpiring() {
	if tls := b.keysAndTLS.tls.Load(); tls != nil {
		if expires := tls.Certificates[0].Leaf.NotAfter; time.Until(expires) < certificateWarningPeriod {
			warn(b.log, "tls-certificate-expires", "the TLS certificate expires soon, or has expired: renew it", zap.Time("expires", expires))
		}
	}
	if b.ca != nil && time.Until(b.ca.NotAfter()) < caWarningPeriod {
		warn(b.log, "ca-expires", "the CA in BROKER_INTERCEPT_CA_DIR expires soon: remove ca.crt and ca.key, restart the broker, and make the apps trust the new CA (see the command ca)",
			zap.Time("expires", b.ca.NotAfter()))
	}
}

// warnReadableAccountFiles warns about the secret files of an account in ETRUSTED_ACCOUNTS_DIR.
func (b *broker) warnReadableAccountFiles(account string) {
	if account != tokensource.DefaultAccount {
		dir := filepath.Join(b.config.AccountsDir, account)
		b.warnReadableFiles(filepath.Join(dir, "client_id"), filepath.Join(dir, "client_secret"))
	}
}

// warnReadableFiles warns about secret files that other users can read, once for each file and readers. It ignores empty paths.
func (b *broker) warnReadableFiles(paths ...string) {
	for _, path := range paths {
		if path == "" {
			continue
		}
		readers, repair := harden.ReadersBesidesBroker(path)
		if before, _ := b.readers.Swap(path, readers); readers != "" && readers != before {
			warn(b.log, "readable-secret-file", "others on this machine can read a secret file: run the command in repair",
				zap.String("file", path), zap.String("readers", readers), zap.String("repair", repair))
		}
	}
}

// The files that the broker reads in the directories of accounts and callers.
var (
	accountFileNames = []string{"client_id", "client_secret", "api_url", "token_url", "audience", "scopes"}
	callerFileNames  = []string{"key", "allow", "accounts", "expires", "certificate", "uid"}
)

// warnMisspeltFiles warns once about each file in a directory whose name looks misspelt.
func (b *broker) warnMisspeltFiles(dir string, known []string) {
	entries, _ := os.ReadDir(dir) // that it cannot be read is said elsewhere
	for _, entry := range entries {
		name := entry.Name()
		if slices.Contains(known, name) || strings.HasSuffix(name, "~") { // or a backup of an editor
			continue
		}
		nearest, edits := spelling.Nearest(strings.ToLower(name), known)
		if isClose := edits <= 1+len(nearest)/7; !isClose { // of a short name, every other one is close
			continue
		}
		path := filepath.Join(dir, name)
		if _, warned := b.misspelt.LoadOrStore(path, nil); !warned {
			warn(b.log, "file-without-effect", fmt.Sprintf("%s is not a file that the broker reads; did you mean %s?", path, nearest))
		}
	}
}
