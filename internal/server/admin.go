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

// minAdminConnAgeToEvict is how long a connection is open before it can be evicted: scrapers and probes need milliseconds.
const minAdminConnAgeToEvict = 250 * time.Millisecond

// adminConnEvictor limits the number of open connections of an http.Server. Beyond the limit, it closes the oldest one to make room, so
// that clients that connect and stall do not lock out scrapers and probes.
type adminConnEvictor struct {
	max int

	mu   sync.Mutex
	open []admittedConn // oldest first
}

type admittedConn struct {
	net.Conn
	admitted time.Time
}

// onConnState is for http.Server.ConnState. The server accepts no connection while this function waits for room for the last one.
func (e *adminConnEvictor) onConnState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		for !e.admit(conn) {
			<-time.After(minAdminConnAgeToEvict / 10)
		}
	case http.StateClosed:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.open = slices.DeleteFunc(e.open, func(open admittedConn) bool { return open.Conn == conn })
	}
}

// admit adds a connection if there is room, or if the oldest one can be closed.
func (e *adminConnEvictor) admit(conn net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.open) >= e.max {
		if time.Since(e.open[0].admitted) < minAdminConnAgeToEvict {
			return false
		}
		_ = e.open[0].Close() // the server notices, and closes it again
		e.open = e.open[1:]
	}
	e.open = append(e.open, admittedConn{conn, time.Now()}) // not earlier: it may have waited for room
	return true
}

func (b *broker) newAdminPages() *admin.Handler {
	pages := admin.Config{
		Version:        b.build.Version,
		Revision:       b.build.Revision,
		Started:        time.Now(),
		Tokens:         b.accounts.Snapshots,
		Metrics:        b.metrics,
		InFlight:       b.proxy.InFlight,
		Draining:       b.draining.Load,
		ConnectionInfo: b.connectionInfoWithKey,
		Operations:     &b.operations,
		InAllowList: func(one operations.UsedOperation) bool {
			return b.policy.InAllowLists(one.Caller, one.Method, one.Path)
		},
		AllowMode: b.config.AllowMode,
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

// adminHandler returns the handler of the admin listener: the pages and, if configured, Go's profiles. These contain names of
// functions and no values, so no secrets. The execution trace may contain more and is left out.
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

// refuseWebPagesAndForeignHosts refuses requests of web pages and for foreign hosts: the pages show no secrets, but are for
// operators only.
func refuseWebPagesAndForeignHosts(hosts access.BrokerHosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case !hosts.Allowed(r.Host, local):
			http.Error(w, "Host header not allowed. Use localhost or an IP address of the listener, or add the name to BROKER_ALLOWED_HOSTS.", http.StatusMisdirectedRequest)
		case access.MayComeFromWebPage(http1.FieldsOf(r.Header)):
			http.Error(w, "Web pages from another origin are not allowed.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
