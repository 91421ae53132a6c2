package server

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/operations"
	"etrusted-broker/internal/ssrf"
	"etrusted-broker/metrics"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/localca"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// broker is the running program with all its parts.
type broker struct {
	build          Build
	config         config.Config
	log            *zap.Logger
	store          *redisstore.Store // nil without a token store
	accounts       *tokensource.Accounts
	keysAndTLS     *appKeysAndTLSReloader
	servers        *apiAndLoginServersByAccount
	proxy          *proxy.Proxy
	metrics        *metrics.Metrics
	pages          *admin.Handler
	connectionInfo admin.ConnectionInfo // without the access key; set before the broker serves
	readers        sync.Map             // of a secret file, who besides the broker could read it when it was last examined
	misspelt       sync.Map             // the paths of files with misspelt names that a warning has named
	app            *http1.Server
	admin          *http.Server
	callers        *callersReloader // nil without BROKER_CALLERS_DIR
	policy         *access.Policy
	ca             *localca.CA // nil if CONNECT is not allowed
	pass           *passHostsClient
	tcp            *dialer.AddressFilteringTCPDialer // opens the connections to the APIs that only accounts have
	limits         connectionLimits
	denied         throttledRequestLog
	failed         throttledRequestLog
	dryRuns        dryRunLog
	draining       atomic.Bool
	unsafe         atomic.Bool       // other machines can use the credentials: see BROKER_UNSAFE_LISTEN
	operations     operations.Counts // that the API has answered, except with 404 or 405
	handshakeLog   oncePerMinute     // for failed TLS handshakes: a port scan causes hundreds
	tokenFieldsLog oncePerMinute     // for response fields that contained the token
}

// Build identifies the program.
type Build struct {
	Version, Revision string
}

// newBroker builds the parts of the broker. toAPI and toLogin carry all traffic that leaves this machine. Its errors are
// config.Errors, except for bugs.
func newBroker(c config.Config, build Build, log *zap.Logger, toAPI proxy.RoundTripper, toLogin *http.Transport) (*broker, error) {
	keysAndTLS, err := newAppKeysAndTLSReloader(c, log)
	if err != nil {
		return nil, err
	}
	b := &broker{build: build, config: c, log: log, keysAndTLS: keysAndTLS, limits: currentLimits(c), store: newTokenStore(c, log), dryRuns: dryRunLog{log: log}}
	b.denied = throttledRequestLog{log: log, message: "requests refused; what follows count is about the last one"}
	b.failed = throttledRequestLog{log: log, message: "requests to the API failed; what follows count is about the last one"}
	if b.accounts, err = b.newAccounts(toLogin); err != nil {
		return nil, config.Error{Variable: "ETRUSTED_ACCOUNTS_DIR", Message: err.Error()}
	}
	exists := func(account string) bool { _, ok := b.accounts.Source(account); return ok }
	b.servers = newAPIAndLoginServersByAccount(c, exists, b.accounts.ReadEnvironments())
	b.metrics = metrics.New(metrics.Config{
		Version:       build.Version,
		Revision:      build.Revision,
		Tokens:        b.accounts.Snapshots,
		InFlight:      func() int64 { return b.proxy.InFlight() },
		HasCallers:    c.CallersDir != "",
		UnsafeListen:  b.unsafe.Load,
		DenialReasons: toStrings(access.Reasons[:]),
		RetryOutcomes: toStrings(proxy.RetryOutcomes[:]),
		PassOutcomes:  toStrings(proxy.PassThroughOutcomes[:]),
	})
	if c.HasDefaultAccount() {
		b.metrics.AddAccount(proxy.DefaultAccount)
	}
	if b.ca, err = OpenOrCreateCA(c); err != nil {
		return nil, config.Error{Variable: "BROKER_INTERCEPT_CA_DIR", Message: err.Error()}
	}
	if b.callers, err = b.openCallers(); err != nil {
		return nil, err
	}
	hosts := access.NewBrokerHosts(slices.Concat(c.AllowedHosts, specificListenHosts(c))...)
	if b.policy, err = b.newPolicy(hosts); err != nil {
		return nil, err
	}
	b.pass = &passHostsClient{hosts: b.policy.PassHosts, checked: &dialer.AddressFilteringTCPDialer{Refused: ssrf.IsLoopbackLinkLocalOrMetadata}, unchecked: new(dialer.AddressFilteringTCPDialer)}
	b.proxy, err = proxy.New(proxy.Config{
		Upstream:       c.API,
		UpstreamClient: toAPI,
		NewUpstreamClient: func(api *url.URL) proxy.RoundTripper {
			return newAPIClient(api, c, b.limits.idlePerAccountAPI(), b.tcp)
		},
		AccountOf:      b.servers.accountOf,
		Tokens:         b.tokens,
		TokenWait:      c.TokenWait,
		Policy:         b.policy,
		ClientTrusted:  func(r *http1.Request) bool { return b.keysAndTLS.clientTrusted(r.Conn) },
		Identities:     b.clientIdentities,
		TokenEndpoint:  c.TokenEndpoint,
		RewriteLinks:   c.RewriteLinks,
		ExternalScheme: appListenerScheme(c),
		TunnelTLS:      b.ca.TLSConfig, // not called without a CA
		PassThrough:    b.pass,
		Retry:          c.Replay401,
		RetryBuffer:    c.ReplayBuffer,
		RequestID:      requestIDGenerator(c),
		OnRequestEnd:   b.recordRequest,
	})
	if err != nil {
		return nil, err
	}
	b.app = b.newAppServer()
	b.pages = b.newAdminPages()
	b.admin = newAdminServer(refuseWebPagesAndForeignHosts(hosts, b.adminHandler()), log)
	return b, nil
}
