package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/metrics"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/door"
	"etrusted-broker/tokensource"
)

// broker is the running program: everything wired together.
type broker struct {
	log      *zap.Logger
	grace    time.Duration
	source   *tokensource.Source
	proxy    *proxy.Proxy
	app      *http.Server
	admin    *http.Server
	draining atomic.Bool
}

// newBroker wires the parts. toAPI and toLogin carry all that leaves this machine.
func newBroker(c config, log *zap.Logger, toAPI, toLogin http.RoundTripper) *broker {
	b := &broker{log: log, grace: c.ShutdownGrace}
	hosts := door.NewHosts(append(c.AllowedHosts, listenHosts(c)...)...)
	snapshots := func() []tokensource.Snapshot { return []tokensource.Snapshot{b.source.Snapshot()} }
	measures := metrics.New(metrics.Config{
		Version:       version,
		Revision:      revision,
		Tokens:        snapshots,
		InFlight:      func() int64 { return b.proxy.InFlight() },
		DenialReasons: denialReasons(),
	})
	b.source = tokensource.New(tokensource.Config{
		Credentials: tokensource.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		Endpoint: tokensource.Endpoint{
			URL:       c.TokenURL,
			Audience:  c.Audience,
			Scopes:    c.Scopes,
			Transport: toLogin,
			UserAgent: "etrusted-broker/" + version,
		},
		Observe: func(event tokensource.Event) {
			logTokenEvent(log, event)
			measures.TokenRequest(event)
		},
	})
	requests := measures.Requests(tokensource.DefaultAccount)
	b.proxy = proxy.New(proxy.Config{
		Upstream:  c.upstream,
		Transport: toAPI,
		Tokens:    b.source,
		TokenWait: c.TokenWait,
		Door:      door.New(hosts, c.upstream.Host),
		Observe: func(report proxy.Report) {
			logRequest(log, report)
			requests.Observe(report.Method, report.Status, report.Duration, report.Upstream)
			if report.Denied != "" {
				measures.Denied(string(report.Denied))
			}
		},
	})
	b.app = newServer(b.proxy, log)
	b.admin = newServer(forOperators(hosts, admin.Handler(admin.Config{
		Version:  version,
		Revision: revision,
		Started:  time.Now(),
		Tokens:   snapshots,
		Draining: b.draining.Load,
		Metrics:  measures.Handler(),
	})), log)
	return b
}

// listenHosts are the host names that the listeners are configured with. An unspecified address is not among them: see
// door.Hosts.
func listenHosts(c config) []string {
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

func denialReasons() []string {
	reasons := make([]string, len(door.Reasons))
	for i, reason := range door.Reasons {
		reasons[i] = string(reason)
	}
	return reasons
}

// forOperators keeps web pages away from the admin listener. It shows no secret, but what it shows is nobody else's
// business.
func forOperators(hosts *door.Hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !hosts.Allow(r):
			http.Error(w, "This Host is not one that the broker goes by. Address it as localhost or by its address, or name the host in BROKER_ALLOWED_HOSTS.", http.StatusMisdirectedRequest)
		case door.FromPage(r.Header):
			http.Error(w, "Web pages of another origin may not look in here.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

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
		IdleTimeout:       2 * time.Minute, // longer than most clients', so that it is they who close
		MaxHeaderBytes:    64 << 10,
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
	loop.Go(func() { b.source.Run(fetching) })
	defer loop.Wait()
	defer stopFetching()

	failed := make(chan error, 2)
	go serveOn(b.app, app, "app", failed)
	if admin != nil {
		go serveOn(b.admin, admin, "admin", failed)
	}
	defer func() { _ = b.admin.Close() }() // last of all: until then it tells how the drain goes
	select {
	case err := <-failed:
		_ = b.app.Close() // there is no serving on
		return err
	case <-ctx.Done():
		b.drain()
		return nil
	}
}

func serveOn(server *http.Server, listener net.Listener, name string, failed chan<- error) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("the %s listener failed: %w", name, err)
	}
}

// drain ends the broker: not ready, no new connections, and the requests in flight have the grace to end.
func (b *broker) drain() {
	b.draining.Store(true)
	b.log.Info("shutting down", zap.Int64("requests_in_flight", b.proxy.InFlight()), zap.Duration("grace", b.grace))
	ctx, cancel := context.WithTimeout(context.Background(), b.grace)
	defer cancel()
	if err := b.app.Shutdown(ctx); err != nil {
		b.log.Warn("the grace is over: requests in flight are cut off", zap.Int64("requests_in_flight", b.proxy.InFlight()))
		_ = b.app.Close() // cut off is what it is for
		return
	}
	b.log.Info("all requests have ended")
}
