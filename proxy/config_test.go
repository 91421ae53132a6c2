package proxy_test

import (
	"net/url"
	"strings"
	"testing"

	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

func TestNewRefusesIncompleteConfig(t *testing.T) {
	for missing, breakIt := range map[string]func(*proxy.Config){
		"Upstream":       func(c *proxy.Config) { c.Upstream = nil },
		"Upstream must":  func(c *proxy.Config) { c.Upstream = &url.URL{Scheme: "ftp", Host: "api.example"} },
		"UpstreamClient": func(c *proxy.Config) { c.UpstreamClient = nil },
		"Tokens":         func(c *proxy.Config) { c.Tokens = nil },
		"Policy":         func(c *proxy.Config) { c.Policy = nil },
		"TunnelTLS": func(c *proxy.Config) {
			c.Policy = &access.Policy{TunnelAllowed: func(string) bool { return true }}
		},
		"ExternalScheme": func(c *proxy.Config) { c.RewriteLinks, c.ExternalScheme = true, "" },
		"RetryBuffer":    func(c *proxy.Config) { c.RetryBuffer = -1 },
	} {
		config := newConfig(t, "http://api.example")
		config.UpstreamClient = new(http1.Client)
		breakIt(&config)
		if p, err := proxy.New(config); p != nil || err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: got %v, %v, want an error that names it", missing, p, err)
		}
	}
}
