package server

import (
	"net/http"
	"path/filepath"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/proxy"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

func (b *broker) newAccounts(toLogin http.RoundTripper) (*tokensource.Accounts, error) {
	c := b.config
	var store tokensource.Store // a nil *redisstore.Store would not be a nil Store
	if b.store != nil {
		store = b.store
	}
	return tokensource.NewAccounts(tokensource.AccountsConfig{
		Default: c.DefaultCredentials(),
		Dir:     c.AccountsDir,
		Source: tokensource.Config{
			Endpoint: tokensource.TokenEndpoint{
				URL:       c.TokenURL,
				Audience:  c.Audience,
				Scopes:    c.Scopes,
				Transport: &slowLoginTransport{RoundTripper: toLogin, log: b.log},
				UserAgent: "etrusted-broker/" + b.build.Version,
			},
			Store: store,
			OnRefresh: func(event tokensource.RefreshEvent) {
				logTokenEvent(b.log, event)
				b.metrics.ObserveRefresh(event)
				b.pages.ObserveRefresh(event)
			},
			OnReload:      func(reload tokensource.CredentialReload) { logReload(b.log, reload) },
			OnEnvironment: func(account string, inUse, tried tokensource.Environment) { b.servers.set(account, inUse, tried) },
		},
		OnAdded: func(account string) {
			b.log.Info("account added", zap.String("account", account))
			b.metrics.AddAccount(account)
			b.warnReadableAccountFiles(account)
			b.warnMisspeltFiles(filepath.Join(c.AccountsDir, account), accountFiles)
		},
		OnRemoved: func(account string) {
			b.log.Info("account removed", zap.String("account", account))
			b.metrics.DeleteAccount(account)
			b.servers.remove(account)
		},
		OnSkipped: func(problem string) { b.log.Warn(problem) },
	})
}

func (b *broker) tokens(account string) (proxy.TokenSource, bool) {
	source, ok := b.accounts.Source(account)
	return source, ok
}

// newStore returns the store for shared tokens, or nil if none is configured.
func newStore(c config.Config, log *zap.Logger) *redisstore.Store {
	if c.Store == nil {
		return nil
	}
	return redisstore.New(*c.Store, func(problem string) {
		if problem == "" {
			log.Info("the token store works again; the token is shared")
			return
		}
		warn(log, admin.CodeTokenStoreUnavailable, "the token store is unavailable; until it works again, this broker fetches its own token", zap.String("reason", "it "+problem))
	})
}
