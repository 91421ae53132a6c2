package server

import (
	"net"
	"net/http"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// adminHandler returns the handler of the admin listener.
func (b *broker) adminHandler() http.Handler {
	adminConfig := admin.Config{
		Version:  b.build.Version,
		Revision: b.build.Revision,
		Started:  time.Now(),
		Tokens:   b.accounts.Snapshots,
		Traffic:  b.stats.Snapshot,
		InFlight: b.proxy.InFlight,
		Draining: b.draining.Load,
		Metrics:  b.metrics.Handler(),
	}
	for _, setting := range b.config.Settings {
		adminConfig.Settings = append(adminConfig.Settings, admin.Setting(setting))
	}
	if b.store != nil {
		adminConfig.StoreProblem = b.store.Problem
	}
	pages := admin.Handler(adminConfig)
	if b.config.PProf {
		return withProfiles(pages)
	}
	return pages
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
