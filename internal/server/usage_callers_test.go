package server_test

import (
	"runtime"
	"strings"
	"testing"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
	"etrusted-broker/proxy/access"
)

// A command to paste must work: it names a caller that exists and has a key, and no key if all are identified by their connection.
func TestCurlHasKeyOfFirstCallerWithOne(t *testing.T) {
	t.Parallel()
	user, shop := &access.Caller{Name: "erp", Identities: []string{"uid:1000"}}, &access.Caller{Name: "shop", Keys: access.NewKeys("x")}
	for want, callers := range map[string][]*access.Caller{
		"": {user},
		` -H "Authorization: Bearer $(head -n 1 /callers/shop/key)"`: {user, shop},
	} {
		if runtime.GOOS == "windows" {
			want = strings.NewReplacer("head -n 1", "Get-Content -TotalCount 1", "/", `\`).Replace(want)
		}
		if got := server.CurlAccessKeyOption(config.Config{CallersDir: "/callers"}, callers); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
