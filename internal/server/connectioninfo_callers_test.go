package server_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
	"etrusted-broker/proxy/access"
)

// A command to paste must work: it names a caller that exists, has a key and has not expired, and no key if all are identified by their connection.
func TestCurlHasKeyOfFirstCallerWithOne(t *testing.T) {
	t.Parallel()
	expired := &access.Caller{Name: "demo", Keys: access.NewKeys("y"), Expires: time.Unix(1, 0)}
	user, shop := &access.Caller{Name: "erp", Identities: []string{"uid:1000"}}, &access.Caller{Name: "shop", Keys: access.NewKeys("x")}
	for want, callers := range map[string][]*access.Caller{
		"": {user},
		` -H "Authorization: Bearer $(head -n 1 /callers/shop/key)"`: {user, expired, shop},
	} {
		if runtime.GOOS == "windows" {
			want = strings.NewReplacer("head -n 1", "Get-Content -TotalCount 1", "/", `\`).Replace(want)
		}
		if got := server.CurlAccessKeyOption(config.Config{CallersDir: "/callers"}, callers); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
