package main

import (
	"errors"

	"go.uber.org/zap"

	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// tokenStore returns where tokens are shared; nil if they are not. An error comes with the variable to blame.
func (c config) tokenStore() (options *redisstore.Options, blame string, err error) {
	address, blame := c.TokenStore, "BROKER_TOKEN_STORE"
	isSet := !address.Equal(tokensource.Secret{})
	switch {
	case isSet && c.TokenStoreFile != "":
		return nil, blame, errors.New("both BROKER_TOKEN_STORE and BROKER_TOKEN_STORE_FILE are set: unset one of them")
	case c.TokenStoreFile != "":
		blame = "BROKER_TOKEN_STORE_FILE"
		if address, err = readSecretFile(c.TokenStoreFile); err != nil {
			return nil, blame, err
		}
	case !isSet:
		return nil, "", nil
	}
	parsed, err := redisstore.ParseURL(address.Reveal())
	if err != nil {
		return nil, blame, err
	}
	return &parsed, blame, nil
}

// newStore returns the store that tokens are shared in; nil if they are not.
func newStore(c config, log *zap.Logger) *redisstore.Store {
	if c.store == nil {
		return nil
	}
	return redisstore.New(redisstore.Config{
		Options: *c.store,
		Changed: func(problem string) {
			if problem == "" {
				log.Info("the token store works again: the token is shared")
				return
			}
			log.Warn("the token store is not used: until it works again, this broker fetches by itself", zap.String("reason", "it "+problem))
		},
	})
}
