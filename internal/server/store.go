package server

import (
	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/tokensource/redisstore"
)

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
