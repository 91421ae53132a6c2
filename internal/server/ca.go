package server

import (
	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/localca"
)

// OpenCA opens the broker's own CA, or creates it. It returns nil if none is configured.
func OpenCA(c config.Config) (*localca.CA, error) {
	if c.InterceptCADir == "" {
		return nil, nil
	}
	return localca.Open(c.InterceptCADir, []string{c.API.Host, c.Login.Host})
}
