package server

import (
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/operations"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

func newAdminServer(handler http.Handler, log *zap.Logger) *http.Server {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic(err) // the level is valid
	}
	return &http.Server{Handler: handler, ReadHeaderTimeout: clientHeaderTimeout, IdleTimeout: clientIdleTimeout, MaxHeaderBytes: 64 << 10, ErrorLog: errorLog}
}

// minAdminConnAge is how long a connection is open before it can be evicted: scrapers and probes need milliseconds.
const minAdminConnAge = 250 * time.Millisecond

// evictingListener limits the number of open connections. Beyond the limit, it closes the oldest one to make room, so that clients
// that connect and stall do not lock out scrapers and probes.
type evictingListener struct {
	net.Listener
	max int

	mu   sync.Mutex
	open []*evictableConn // oldest first
}

// Accept implements net.Listener.
func (l *evictingListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &evictableConn{Conn: accepted, listener: l}
	for !l.admit(c) {
		<-time.After(minAdminConnAge / 10)
	}
	return c, nil
}

// admit adds a connection if there is room, or if the oldest one can be closed.
func (l *evictingListener) admit(c *evictableConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max {
		oldest := l.open[0]
		if time.Since(oldest.admitted) < minAdminConnAge {
			return false
		}
		_ = oldest.Conn.Close() // the server notices, and closes it again
		l.open = l.open[1:]
	}
	c.admitted = time.Now() // not earlier: it may have waited for room
	l.open = append(l.open, c)
	return true
}

type evictableConn struct {
	net.Conn
	listener *evictingListener
	admitted time.Time
}

// Close implements net.Conn.
func (c *evictableConn) Close() error {
	c.listener.mu.Lock()
	c.listener.open = slices.DeleteFunc(c.listener.open, func(open *evictableConn) bool { return open == c })
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

func (b *broker) newAdminPages() *admin.Handler {
	pages := admin.Config{
		Version:    b.build.Version,
		Revision:   b.build.Revision,
		Started:    time.Now(),
		Tokens:     b.accounts.Snapshots,
		Metrics:    b.metrics,
		InFlight:   b.proxy.InFlight,
		Draining:   b.draining.Load,
		Usage:      b.usageWithAccessKey,
		Operations: &b.operations,
		RulesAllow: func(one operations.Operation) bool { return b.policy.RulesAllow(one.Caller, one.Method, one.Path) },
		AllowMode:  b.config.AllowMode,
	}
	for _, setting := range b.config.Settings {
		pages.Settings = append(pages.Settings, admin.Setting(setting))
	}
	if b.callers != nil {
		pages.Callers = b.callersStatus
	}
	if b.store != nil {
		pages.StoreProblem = b.store.Problem
	}
	return admin.New(pages)
}

// adminHandler returns the handler of the admin listener: the pages and, if configured, Go's profiles. These contain names of functions
// and no values, so no secrets. The execution trace may contain more and is left out.
func (b *broker) adminHandler() http.Handler {
	if !b.config.PProf {
		return b.pages
	}
	mux := http.NewServeMux()
	mux.Handle("/", b.pages)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the profiles that it lists
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

// protectAdmin refuses requests of web pages and for foreign hosts: the pages show no secrets, but are for operators only.
func protectAdmin(hosts access.Hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case !hosts.Allowed(r.Host, local):
			http.Error(w, "Host header not allowed. Use localhost or an IP address of the listener, or add the name to BROKER_ALLOWED_HOSTS.", http.StatusMisdirectedRequest)
		case access.IsBrowserRequest(http1.FieldsOf(r.Header)):
			http.Error(w, "Web pages from another origin are not allowed.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
