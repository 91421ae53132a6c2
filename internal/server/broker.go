package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/stats"
	"etrusted-broker/metrics"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/localca"
	"etrusted-broker/proxy/tokenendpoint"
	"etrusted-broker/proxy/wire"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// broker is the running program: everything wired together.
type broker struct {
	build Build
	log   *zap.Logger
	// accessLevel is that of the line for each request.
	accessLevel zapcore.Level
	grace       time.Duration
	store       *redisstore.Store // nil if the token is not shared
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

// newBroker wires the parts. toAPI and toLogin carry everything that leaves this machine. An error says what is wrong with
// the configuration.
func newBroker(c config.Config, build Build, log *zap.Logger, toAPI, toLogin http.RoundTripper) (*broker, error) {
	guards, err := newCredentialReloader(c, log)
	if err != nil {
		return nil, err
	}
	b := &broker{build: build, log: log, accessLevel: accessLogLevel(c), grace: c.ShutdownGrace, reloader: guards, limits: currentLimits()}
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
	authority, err := OpenCA(c)
	if err != nil {
		return nil, config.Error{Variable: "BROKER_INTERCEPT_CA_DIR", Message: err.Error()}
	}
	hosts := access.NewHosts(append(c.AllowedHosts, listenHosts(c)...)...)
	handler := b.reloader.certificates.closeBeforeExpiry(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.proxy.ServeHTTP(w, r) }))
	b.tunnels = newTunnels(authority, handler, b.limits.app, log)
	policy, err := b.newPolicy(c, hosts, authority)
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

// adminHandler is what the admin listener serves.
func (b *broker) adminHandler(c config.Config) http.Handler {
	adminConfig := admin.Config{
		Version:  b.build.Version,
		Revision: b.build.Revision,
		Started:  time.Now(),
		Tokens:   b.accounts.Snapshots,
		Traffic:  b.stats.Snapshot,
		InFlight: b.proxy.InFlight,
		Draining: b.draining.Load,
		Settings: adminSettings(c.Settings),
		Metrics:  b.metrics.Handler(),
	}
	if b.store != nil {
		adminConfig.StoreProblem = b.store.Problem
	}
	pages := admin.Handler(adminConfig)
	if c.PProf {
		return withProfiles(pages)
	}
	return pages
}

// adminSettings are the settings as the status page shows them.
func adminSettings(settings []config.Setting) []admin.Setting {
	all := make([]admin.Setting, len(settings))
	for i, one := range settings {
		all[i] = admin.Setting(one)
	}
	return all
}

func (b *broker) newPolicy(c config.Config, hosts *access.Hosts, ca *localca.CA) (*access.Policy, error) {
	var rules *access.Rules // nil allows everything
	if len(c.Allow) > 0 {
		var err error
		if rules, err = access.ParseRules(c.Allow); err != nil {
			return nil, config.Error{Variable: "BROKER_ALLOW", Message: err.Error()}
		}
	}
	policy := access.Config{Hosts: hosts, UpstreamHost: c.API.Host, LoginHost: c.LoginHost(), Keys: b.reloader.keys, KeyFromToken: tokenendpoint.AccessKey, Rules: rules}
	if ca != nil {
		policy.TunnelAllowed = ca.AllowsHost
	}
	return access.New(policy), nil
}

// newTokenEndpoint returns the endpoint for the app's own token requests; nil if they go to the API.
func (b *broker) newTokenEndpoint(c config.Config) *tokenendpoint.Endpoint {
	if !c.TokenEndpoint {
		return nil
	}
	endpoint := &tokenendpoint.Endpoint{AccountExists: func(name string) bool {
		_, known := b.accounts.Source(name)
		return known && name != ""
	}}
	if b.reloader.keys != nil {
		endpoint.ValidKey = b.reloader.keys.Valid
	}
	return endpoint
}

// scheme is that of the app's listener.
func scheme(c config.Config) string {
	if c.TLSCertFile != "" {
		return "https"
	}
	return "http"
}

func (b *broker) newAccounts(c config.Config, toLogin http.RoundTripper) (*tokensource.Accounts, error) {
	var store tokensource.Store // not a nil *redisstore.Store, which would be one
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
				Transport: toLogin,
				UserAgent: "etrusted-broker/" + b.build.Version,
			},
			Store: store,
			OnRefresh: func(event tokensource.RefreshEvent) {
				logTokenEvent(b.log, event)
				b.metrics.ObserveRefresh(event)
				b.stats.ObserveRefresh(event)
			},
			OnReload: func(reload tokensource.CredentialReload) { logReload(b.log, reload) },
		},
		OnAdded: func(account string) {
			b.log.Info("account added", zap.String("account", account))
			b.metrics.ForAccount(account)
			b.warnReadableAccountFiles(c.AccountsDir, account)
		},
		OnRemoved: func(account string) {
			b.log.Info("account removed", zap.String("account", account))
			b.deleteAccount(account)
		},
		OnSkipped: func(problem string) { b.log.Warn(problem) },
	})
}

func (b *broker) tokens(account string) (proxy.TokenSource, bool) {
	source, ok := b.accounts.Source(account)
	return source, ok
}

// noAccount stands in metrics for requests that were turned away before their account was known, or whose account is
// gone. It can be no name.
const noAccount = "-"

// recordRequest records a request.
func (b *broker) recordRequest(report proxy.RequestRecord) {
	b.logRequest(report)
	account := noAccount
	if _, known := b.accounts.Source(report.Account); known && report.Account != "" { // it may have been removed meanwhile
		account = report.Account
	}
	requests := b.metrics.ForAccount(account)
	requests.Observe(report.Method, report.Status, report.Duration, report.Upstream, report.TraceID)
	if report.Retry != "" {
		requests.ObserveRetry(string(report.Retry))
	}
	if report.Denied != "" {
		b.metrics.ObserveDenied(string(report.Denied))
	}
	b.stats.Observe(stats.Request{
		Account: account, Status: report.Status, Local: isLocalResponse(report), UpstreamTime: report.Upstream,
		Denied: string(report.Denied), Replay: string(report.Retry),
	})
	if _, known := b.accounts.Source(account); !known && account != noAccount {
		b.deleteAccount(account) // it was removed just now, and what was counted is back
	}
}

// isLocalResponse reports whether the app was answered by the broker itself, rather than by the API or not at all: with a
// problem, or with something that the API was not asked about, such as a placeholder token.
func isLocalResponse(report proxy.RequestRecord) bool {
	return report.Status != proxy.StatusClientClosedRequest && (report.Problem != "" || report.Upstream == 0)
}

// deleteAccount drops what was counted for an account that is gone.
func (b *broker) deleteAccount(account string) {
	b.metrics.DeleteAccount(account)
	b.stats.Delete(account)
}

// connectionEvicted records that a connection of the app's was closed to make room.
func (b *broker) connectionEvicted() {
	b.metrics.ObserveDenied(string(access.ReasonConnections))
	b.stats.ObserveDenied(string(access.ReasonConnections))
}

// toStrings makes plain strings of a closed set.
func toStrings[T ~string](set []T) []string {
	all := make([]string, len(set))
	for i, one := range set {
		all[i] = string(one)
	}
	return all
}

// listenHosts are the host names that the listeners are configured with. An unspecified address is not among them: see
// access.Hosts.
func listenHosts(c config.Config) []string {
	var hosts []string
	for _, address := range []string{c.Listen, c.AdminListen} {
		host, _, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			continue
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			continue
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// protectAdmin keeps web pages away from the admin listener. It shows no secret, but what it shows is nobody else's
// business.
func protectAdmin(hosts *access.Hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fault := wire.ErrorFrom(r)
		switch {
		case fault != nil:
			http.Error(w, "The request was refused: "+fault.Detail+". "+fault.Hint, fault.Status)
		case !hosts.Allowed(r.Host, access.LocalAddr(r.Context())):
			http.Error(w, "Host header not allowed. Use localhost or an IP address of the listener, or add the name to BROKER_ALLOWED_HOSTS.", http.StatusMisdirectedRequest)
		case access.IsBrowserRequest(access.HTTPFields(r.Header)):
			http.Error(w, "Web pages from another origin are not allowed.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// clientIdleTimeout is longer than most clients keep a connection that they do not use, so that it is they who close it.
const clientIdleTimeout = 2 * time.Minute

// newServer returns a server with time-outs against clients that stall. There is none on whole requests or responses:
// those stream, for as long as both sides want.
func newServer(handler http.Handler, log *zap.Logger) *http.Server {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic(err) // of an unknown level alone
	}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       clientIdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ConnState:         wire.ConnState,
		ErrorLog:          errorLog,
		// OPTIONS * is the API's to answer.
		DisableGeneralOptionsHandler: true,
	}
}

// serve runs the broker on its listeners until ctx is done, and then drains it. admin may be nil. It closes the
// listeners. An error means that it could not go on; a shutdown is none.
func (b *broker) serve(ctx context.Context, app, admin net.Listener) error {
	// The token is kept fresh until the last request has gone, so the loop has a context of its own.
	fetching, stopFetching := context.WithCancel(context.WithoutCancel(ctx))
	var loop sync.WaitGroup
	sharing, stopSharing := context.WithCancel(context.WithoutCancel(ctx)) // the loop has a lease to give back at its end
	loop.Go(func() {
		defer stopSharing()
		b.accounts.Run(fetching)
	})
	if b.store != nil {
		loop.Go(func() { b.store.Run(sharing) })
	}
	loop.Go(func() { b.reloader.run(fetching) })
	loop.Go(func() { b.stats.Run(fetching) })
	defer loop.Wait()
	defer stopFetching()

	failed := make(chan error, 3)
	if b.reloader.certificates != nil {
		app = tls.NewListener(app, b.reloader.certificates.serverConfig())
	}
	entrance := newDrainListener(wire.NewListener(app, b.limits.app, b.connectionEvicted))
	b.app.ConnState = entrance.connState
	go serveOn(b.app, entrance, "app", failed)
	if b.tunnels != nil {
		go b.tunnels.serve(b.connectionEvicted, failed)
	}
	if admin != nil {
		go serveOn(b.admin, wire.NewListener(admin, b.limits.admin, func() {}), "admin", failed)
	}
	defer func() { _ = b.admin.Close() }() // last of all: until then it tells how the drain goes
	select {
	case err := <-failed:
		for _, server := range b.servers() {
			_ = server.Close() // there is no serving on
		}
		return err
	case <-ctx.Done():
		b.drain(entrance)
		return nil
	}
}

func serveOn(server *http.Server, listener net.Listener, name string, failed chan<- error) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("the %s listener failed: %w", name, err)
	}
}

// servers are those that apps send requests to.
func (b *broker) servers() []*http.Server {
	if b.tunnels == nil {
		return []*http.Server{b.app}
	}
	return []*http.Server{b.app, b.tunnels.server}
}

// drain ends the broker: not ready, no new connections, and the requests in flight have the grace to end.
func (b *broker) drain(entrance *drainListener) {
	b.draining.Store(true)
	b.log.Info("shutting down", zap.Int64("requests_in_flight", b.proxy.InFlight()), zap.Duration("grace", b.grace))
	ctx, cancel := context.WithTimeout(context.Background(), b.grace)
	defer cancel()
	var all sync.WaitGroup
	var cut atomic.Bool
	for _, server := range b.servers() { // at once, or one would still take requests while another ends
		all.Go(func() {
			server.SetKeepAlivesEnabled(false) // each answer is the last of its connection, and says so
			if server == b.app {
				entrance.drainConns(ctx)
			}
			if server.Shutdown(ctx) != nil {
				b.log.Warn("grace period over; closing the requests in flight", zap.Int64("requests_in_flight", b.proxy.InFlight()))
				_ = server.Close() // cut off is what it is for
				cut.Store(true)
			}
		})
	}
	if all.Wait(); !cut.Load() {
		b.log.Info("all requests have finished")
	}
}
