package server

import (
	"net"
	"net/http"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/operations"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// newAdminPages returns the pages of the admin listener.
func (b *broker) newAdminPages() *admin.Handler {
	pages := admin.Config{
		Version:  b.build.Version,
		Revision: b.build.Revision,
		Started:  time.Now(),
		Tokens:   b.accounts.Snapshots,
		Metrics:  b.metrics,
		InFlight: b.proxy.InFlight,
		Draining: b.draining.Load,
		Usage:    b.usageWithAccessKey,

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

// adminHandler returns the handler of the admin listener: the pages and, if configured, the profiles.
func (b *broker) adminHandler() http.Handler {
	if b.config.PProf {
		return withProfiles(b.pages)
	}
	return b.pages
}

// protectAdmin refuses requests of web pages and for foreign hosts. The admin listener shows no secrets, but its contents are
// for operators only.
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
