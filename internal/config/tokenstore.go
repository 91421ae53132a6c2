package config

import (
	"errors"

	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// tokenStore returns the address of the token store, or nil if none is configured. blame names the variable that an error is
// about.
func (c Config) tokenStore() (options *redisstore.Options, blame string, err error) {
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
