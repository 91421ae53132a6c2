package server

import (
	"net"

	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

func (b *broker) newPolicy(hosts access.BrokerHosts) (_ *access.Policy, err error) {
	c := b.config
	var rules *access.RequestAllowList // nil allows everything
	if len(c.Allow) > 0 {
		if rules, err = access.ParseAllowList(c.Allow); err != nil {
			return nil, config.Error{Variable: "BROKER_ALLOW", Message: err.Error()}
		}
	}
	passHosts, err := access.ParsePassHosts(c.PassHosts)
	if err != nil {
		return nil, config.Error{Variable: "BROKER_PASS_HOSTS", Message: err.Error()}
	}
	policy := &access.Policy{
		BrokerHosts: hosts, APIAndLoginHosts: b.servers.hosts, PassHosts: passHosts,
		KeyFromToken: tokenendpoint.AccessKeyOrToken, AllowList: rules,
		DryRun: c.AllowMode == config.AllowModeWarn,
	}
	switch {
	case b.callers != nil:
		policy.Callers = b.callers.callers
	case b.keysAndTLS.keys != nil:
		policy.Callers = access.NewCallers(&access.Caller{Keys: b.keysAndTLS.keys})
	}
	if b.ca != nil {
		policy.TunnelAllowed = b.ca.AllowsHost
	}
	return policy, nil
}

// appListenerScheme returns the URL scheme of the app's listener.
func appListenerScheme(c config.Config) string {
	if c.TLSCertFile != "" {
		return "https"
	}
	return "http"
}

// specificListenHosts returns the hosts of the configured listeners, except unspecified addresses: see access.BrokerHosts.
func specificListenHosts(c config.Config) []string {
	var hosts []string
	for _, address := range []string{c.Listen, c.AdminListen} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
