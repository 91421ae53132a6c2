package server

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

func (b *broker) newAccounts(toLogin *http.Transport) (*tokensource.Accounts, error) {
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
				Transport: &slowLoginLoggingTransport{Transport: toLogin, log: b.log},
				UserAgent: "etrusted-broker/" + b.build.Version,
			},
			Store: store,
			OnRefresh: func(event tokensource.RefreshEvent) {
				logTokenEvent(b.log, event)
				b.metrics.ObserveRefresh(event)
				b.pages.ObserveRefresh(event)
			},
			OnReload:      func(reload tokensource.CredentialReload) { logCredentialReload(b.log, reload) },
			OnEnvironment: func(account string, inUse, tried tokensource.APIEnvironment) { b.servers.set(account, inUse, tried) },
		},
		OnAdded: func(account string) {
			b.log.Info("account added", zap.String("account", account))
			b.metrics.AddAccount(account)
			b.warnReadableAccountFiles(account)
			b.warnMisspeltFiles(filepath.Join(c.AccountsDir, account), accountFileNames)
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

// newTokenStore returns the store for shared tokens, or nil if none is configured.
func newTokenStore(c config.Config, log *zap.Logger) (storeOrNil *redisstore.Store) {
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

// apiAndLoginServersByAccount knows the API and the login server of each account. Its methods are safe for concurrent use.
type apiAndLoginServersByAccount struct {
	api, login *url.URL                 // of accounts without their own
	hosts      *access.APIAndLoginHosts // all of them
	exists     func(account string) bool

	mu       sync.Mutex
	accounts map[string]usedAndTriedEnvironments // those that have their own servers
	apis     map[string]string                   // access.CanonicalHost of the APIs in use, by account; without those that use the broker's
	onChange func(apis, logins []*url.URL)
}

// usedAndTriedEnvironments are those of the credentials in use, and of changed ones that are being tried.
type usedAndTriedEnvironments struct{ inUse, beingTried tokensource.APIEnvironment }

func (e usedAndTriedEnvironments) equal(other usedAndTriedEnvironments) bool {
	return e.inUse.Equal(other.inUse) && e.beingTried.Equal(other.beingTried)
}

// newAPIAndLoginServersByAccount returns the servers of the environments that were read from files. exists must not wait for a method of them.
func newAPIAndLoginServersByAccount(c config.Config, exists func(account string) bool, fromFiles map[string]tokensource.APIEnvironment) *apiAndLoginServersByAccount {
	s := &apiAndLoginServersByAccount{
		api: c.API, login: c.Login, hosts: new(access.APIAndLoginHosts), exists: exists,
		accounts: map[string]usedAndTriedEnvironments{}, onChange: func(_, _ []*url.URL) {},
	}
	for account, environment := range fromFiles {
		s.accounts[account] = usedAndTriedEnvironments{inUse: environment}
	}
	s.update()
	return s
}

func (s *apiAndLoginServersByAccount) set(account string, inUse, beingTried tokensource.APIEnvironment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := (usedAndTriedEnvironments{inUse, beingTried}); !next.equal(s.accounts[account]) {
		s.accounts[account] = next
		s.update()
	}
}

func (s *apiAndLoginServersByAccount) remove(account string) {
	s.set(account, tokensource.APIEnvironment{}, tokensource.APIEnvironment{})
}

// watch calls onChange with the servers of the broker and of all accounts, now and after each change.
func (s *apiAndLoginServersByAccount) watch(onChange func(apis, logins []*url.URL)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = onChange
	s.update()
}

// update recomputes what depends on accounts.
func (s *apiAndLoginServersByAccount) update() {
	maps.DeleteFunc(s.accounts, func(_ string, its usedAndTriedEnvironments) bool { return its.equal(usedAndTriedEnvironments{}) })
	var all []tokensource.APIEnvironment
	s.apis = map[string]string{}
	for account, its := range s.accounts {
		all = append(all, its.inUse, its.beingTried)
		if its.inUse.API != nil {
			s.apis[account] = access.CanonicalHost(its.inUse.API.Host)
		}
	}
	apis, logins := ownServerURLs(all)
	apis, logins = append(apis, s.api), append(logins, s.login)
	s.hosts.Replace(hostsOf(apis), hostsOf(logins))
	s.onChange(apis, logins)
}

func ownServerURLs(environments []tokensource.APIEnvironment) (apis, logins []*url.URL) {
	for _, environment := range environments {
		if environment.API != nil {
			apis = append(apis, environment.API)
		}
		if login, err := url.Parse(environment.TokenURL); err == nil && environment.TokenURL != "" {
			logins = append(logins, login)
		}
	}
	return apis, logins
}

func hostsOf(servers []*url.URL) (hosts []string) {
	for _, server := range servers {
		hosts = append(hosts, server.Host)
	}
	return hosts
}

// accountOf implements proxy.Config.AccountOf.
func (s *apiAndLoginServersByAccount) accountOf(apiHost string, caller *access.Caller) (account string, ok bool) {
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

// followAccountServers prepares the broker for the servers of accounts: how to connect to them, and whether to answer in their
// place. It must be called once, before serve. If the broker intercepts connections, an API's name may lead to the broker itself.
func (b *broker) followAccountServers(ctx context.Context, tcp *dialer.AddressFilteringTCPDialer, intercepts bool) {
	b.tcp = tcp
	examined, warned := map[string]bool{}, map[string]bool{} // APIs, and hosts
	b.servers.watch(func(apis, logins []*url.URL) {
		for _, server := range slices.Concat(apis, logins) {
			tcp.UseResolverFor(server.Hostname())
		}
		for _, api := range apis {
			if intercepts && !examined[api.String()] {
				examined[api.String()] = true
				go b.detectLoop(ctx, api)
			}
		}
		if b.ca == nil {
			return
		}
		for _, host := range b.ca.SetHosts(slices.Concat(hostsOf(apis), hostsOf(logins))) {
			if !warned[host] {
				warned[host] = true
				b.log.Warn("the CA in BROKER_INTERCEPT_CA_DIR is not for the host of an account, so connections to it are not intercepted: remove ca.crt and ca.key, restart the broker, and make the apps trust the new CA (see the command ca)",
					zap.String("host", host))
			}
		}
	})
}
