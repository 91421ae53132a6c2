package server

import (
	"net"
	"net/http"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// newPages returns the pages of the admin listener.
func (b *broker) newPages(c config.Config) *admin.Handler {
	pages := admin.Config{
		Version:  b.build.Version,
		Revision: b.build.Revision,
		Started:  time.Now(),
		Tokens:   b.accounts.Snapshots,
		Metrics:  b.metrics,
		InFlight: b.proxy.InFlight,
		Draining: b.draining.Load,
		Usage:    b.usage.Load,
		Settings: adminSettings(c.Settings),
	}
	if b.store != nil {
		pages.StoreProblem = b.store.Problem
	}
	return admin.New(pages)
}

// adminHandler returns the handler of the admin listener: the pages and, if configured, the profiles.
func (b *broker) adminHandler(c config.Config) http.Handler {
	if c.PProf {
		return withProfiles(b.pages)
	}
	return b.pages
}

// adminSettings converts the settings for the status page.
func adminSettings(settings []config.Setting) []admin.Setting {
	all := make([]admin.Setting, len(settings))
	for i, one := range settings {
		all[i] = admin.Setting(one)
	}
	return all
}

// protectAdmin refuses requests of web pages and for foreign hosts. The admin listener shows no secrets, but its contents are
// for operators only.
func protectAdmin(hosts *access.Hosts, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		switch {
		case !hosts.Allowed(r.Host, access.LocalAddr(local)):
			http.Error(w, "Host header not allowed. Use localhost or an IP address of the listener, or add the name to BROKER_ALLOWED_HOSTS.", http.StatusMisdirectedRequest)
		case access.IsBrowserRequest(http1.FieldsOf(r.Header)):
			http.Error(w, "Web pages from another origin are not allowed.", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
