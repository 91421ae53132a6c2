package server

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"sync"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// accountServers knows the API and the login server of each account, as accounts come, change and go. Its methods are safe for
// concurrent use.
type accountServers struct {
	api, login *url.URL        // of accounts without their own
	hosts      *access.Servers // all of them
	exists     func(account string) bool

	mu       sync.Mutex
	accounts map[string]environments // those that have their own servers
	apis     map[string]string       // access.CanonicalHost of the APIs in use, by account; without those that use the broker's
	onChange func([]tokensource.Environment)
}

// environments are an account's: of the credentials in use, and of changed ones that are being tried.
type environments [2]tokensource.Environment

func (e environments) isZero() bool { return e.equal(environments{}) }

func (e environments) equal(other environments) bool {
	return slices.EqualFunc(e[:], other[:], tokensource.Environment.Equal)
}

// newAccountServers returns the servers of the environments that the accounts have in their files. exists must not wait for a method
// of them.
func newAccountServers(c config.Config, exists func(account string) bool, read map[string]tokensource.Environment) *accountServers {
	s := &accountServers{api: c.API, login: c.Login, hosts: new(access.Servers), exists: exists, accounts: map[string]environments{}, onChange: func([]tokensource.Environment) {}}
	for account, environment := range read {
		if its := (environments{environment}); !its.isZero() {
			s.accounts[account] = its
		}
	}
	s.update()
	return s
}

// set sets the environments of an account.
func (s *accountServers) set(account string, inUse, tried tokensource.Environment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := environments{inUse, tried}
	if next.equal(s.accounts[account]) {
		return
	}
	s.accounts[account] = next
	if next.isZero() {
		delete(s.accounts, account)
	}
	s.update()
}

// remove forgets an account.
func (s *accountServers) remove(account string) {
	s.set(account, tokensource.Environment{}, tokensource.Environment{})
}

// watch calls onChange with the environments that accounts have, now and after each change.
func (s *accountServers) watch(onChange func([]tokensource.Environment)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = onChange
	s.update()
}

// update recomputes what depends on accounts.
func (s *accountServers) update() {
	var all []tokensource.Environment
	s.apis = map[string]string{}
	for account, its := range s.accounts {
		all = append(all, its[:]...)
		if inUse := its[0]; inUse.API != nil {
			s.apis[account] = access.CanonicalHost(inUse.API.Host)
		}
	}
	apis, logins := []string{s.api.Host}, []string{s.login.Host}
	for _, environment := range all {
		for _, server := range serverURLs(environment) {
			if server == environment.API {
				apis = append(apis, server.Host)
			} else {
				logins = append(logins, server.Host)
			}
		}
	}
	s.hosts.Replace(apis, logins)
	s.onChange(all)
}

// serverURLs returns the API and the login server that an environment names.
func serverURLs(e tokensource.Environment) (servers []*url.URL) {
	if e.API != nil {
		servers = append(servers, e.API)
	}
	if login, err := url.Parse(e.TokenURL); err == nil && e.TokenURL != "" {
		servers = append(servers, login)
	}
	return servers
}

// accountOf implements proxy.Config.AccountOf.
func (s *accountServers) accountOf(apiHost string, caller *access.Caller) (account string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	uses := func(account string) bool {
		own, hasOwn := s.apis[account]
		return hasOwn && own == apiHost || !hasOwn && access.CanonicalHost(s.api.Host) == apiHost
	}
	if first := caller.FirstAccount(); uses(first) {
		return first, true
	}
	allowed := slices.Collect(maps.Keys(s.apis)) // the default account uses the broker's API
	if caller != nil && caller.Accounts != nil {
		allowed = slices.Clone(caller.Accounts)
	}
	allowed = slices.DeleteFunc(allowed, func(account string) bool { return !uses(account) || !s.exists(account) })
	if len(allowed) != 1 {
		return "", false
	}
	return allowed[0], true
}

// followAccountServers prepares the broker for the servers of accounts: how to connect to them, and whether to answer in their place. It
// must be called once, before serve. If the broker has a listener for intercepted connections, a server's name may lead to itself.
func (b *broker) followAccountServers(ctx context.Context, network *dialer.TCPDialer, intercepts bool) {
	b.network = network
	examined := map[string]bool{} // APIs
	examine := func(api *url.URL) {
		if intercepts && !examined[api.String()] {
			examined[api.String()] = true
			go b.detectLoop(ctx, api)
		}
	}
	examine(b.config.API)
	warned := map[string]bool{} // hosts
	b.servers.watch(func(environments []tokensource.Environment) {
		hosts := []string{b.config.API.Host, b.config.Login.Host}
		for _, environment := range environments {
			for _, server := range serverURLs(environment) {
				hosts = append(hosts, server.Host)
				network.UseResolverFor(server.Hostname())
			}
			if environment.API != nil {
				examine(environment.API)
			}
		}
		if b.ca != nil {
			b.setInterceptedHosts(hosts, warned)
		}
	})
}

// setInterceptedHosts lets the CA sign for hosts, and warns about those that it does not permit, unless it did so before.
func (b *broker) setInterceptedHosts(hosts []string, warned map[string]bool) {
	for _, host := range b.ca.SetHosts(hosts) {
		if !warned[host] {
			warned[host] = true
			b.log.Warn("the CA in BROKER_INTERCEPT_CA_DIR is not for the host of an account, so connections to it are not intercepted: remove ca.crt and ca.key, restart the broker, and make the apps trust the new CA (see the command ca)",
				zap.String("host", host))
		}
	}
}
