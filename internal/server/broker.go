package server

import (
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/stats"
	"etrusted-broker/metrics"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// broker is the running program with all its parts.
type broker struct {
	build Build
	log   *zap.Logger
	// accessLevel is the log level of the line for each request.
	accessLevel zapcore.Level
	grace       time.Duration
	store       *redisstore.Store // nil without a token store
	accounts    *tokensource.Accounts
	proxy       *proxy.Proxy
	metrics     *metrics.Metrics
	stats       *stats.Recorder
	app         *http.Server
	admin       *http.Server
	reloader    *credentialReloader
	tunnels     *tunnels // nil if CONNECT is not answered
	limits      limits
	draining    atomic.Bool
	unsafe      atomic.Bool // other machines can use the credentials: see BROKER_UNSAFE_LISTEN
}

// Build identifies the program.
type Build struct {
	Version, Revision string
}

// newBroker builds the parts of the broker. toAPI and toLogin carry all traffic that leaves this machine. Its errors are
// config.Errors, except for bugs.
func newBroker(c config.Config, build Build, log *zap.Logger, toAPI, toLogin http.RoundTripper) (*broker, error) {
	reloader, err := newCredentialReloader(c, log)
	if err != nil {
		return nil, err
	}
	b := &broker{build: build, log: log, accessLevel: accessLogLevel(c), grace: c.ShutdownGrace, reloader: reloader, limits: currentLimits()}
	b.store = newStore(c, log)
	accounts, err := b.newAccounts(c, toLogin)
	if err != nil {
		return nil, config.Error{Variable: "ETRUSTED_ACCOUNTS_DIR", Message: err.Error()}
	}
	b.accounts = accounts
	b.stats = stats.New(toStrings(access.Reasons[:]), toStrings(proxy.RetryOutcomes[:]))
	b.metrics = metrics.New(metrics.Config{
		Version:       build.Version,
		Revision:      build.Revision,
		Tokens:        b.accounts.Snapshots,
		InFlight:      func() int64 { return b.proxy.InFlight() },
		UnsafeListen:  b.unsafe.Load,
		DenialReasons: toStrings(access.Reasons[:]),
		RetryOutcomes: toStrings(proxy.RetryOutcomes[:]),
	})
	if c.HasDefaultAccount() {
		b.metrics.ForAccount(proxy.DefaultAccount)
	}
	ca, err := OpenCA(c)
	if err != nil {
		return nil, config.Error{Variable: "BROKER_INTERCEPT_CA_DIR", Message: err.Error()}
	}
	hosts := access.NewHosts(append(c.AllowedHosts, listenHosts(c)...)...)
	handler := b.reloader.certificates.closeBeforeExpiry(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.proxy.ServeHTTP(w, r) }))
	b.tunnels = newTunnels(ca, handler, b.limits.app, log)
	policy, err := b.newPolicy(c, hosts, ca)
	if err != nil {
		return nil, err
	}
	b.proxy, err = proxy.New(proxy.Config{
		Upstream:       c.API,
		Transport:      toAPI,
		Tokens:         b.tokens,
		TokenWait:      c.TokenWait,
		Policy:         policy,
		ClientTrusted:  b.reloader.certificates.clientTrusted,
		TokenEndpoint:  b.newTokenEndpoint(c),
		RewriteLinks:   c.RewriteLinks,
		ExternalScheme: scheme(c),
		Tunnels:        b.tunnels,
		Retry:          c.Replay401,
		RetryBuffer:    c.ReplayBuffer,
		RequestID:      requestIDs(c),
		OnRequestEnd:   b.recordRequest,
	})
	if err != nil {
		return nil, err
	}
	b.app = newServer(handler, log)
	b.app.ConnContext = withClientCertificate
	b.admin = newServer(protectAdmin(hosts, b.adminHandler(c)), log)
	return b, nil
}
