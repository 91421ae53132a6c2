package server

import (
	"net/http"

	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/localca"
	"etrusted-broker/tokensource"
)

// OpenCA opens the broker's own CA, or creates it, for the hosts of all accounts. It returns nil if none is configured.
func OpenCA(c config.Config) (*localca.CA, error) {
	hosts := []string{c.API.Host, c.Login.Host}
	switch {
	case c.InterceptCADir == "":
		return nil, nil
	case c.AccountsDir == "":
		return localca.Open(c.InterceptCADir, hosts)
	}
	accounts, err := tokensource.NewAccounts(tokensource.AccountsConfig{
		Dir:    c.AccountsDir,
		Source: tokensource.Config{Endpoint: tokensource.TokenEndpoint{URL: c.TokenURL, Transport: &http.Transport{}}}, // required, but not used without Run
	})
	var more []string
	if err == nil { // or else the broker does not start; the command ca can do without
		for _, environment := range accounts.ReadEnvironments() {
			for _, server := range serverURLs(environment) {
				more = append(more, server.Host)
			}
		}
	}
	return localca.OpenForAccounts(c.InterceptCADir, hosts, more)
}
