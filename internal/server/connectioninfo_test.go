package server_test

import (
	"net"
	"runtime"
	"strings"
	"testing"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
	"etrusted-broker/tokensource"
)

// listenerAt is a listener with an address and nothing else.
type listenerAt struct {
	net.Listener
	address net.Addr
}

func (l listenerAt) Addr() net.Addr { return l.address }

func TestConnectionInfoHasWhatListenerNeeds(t *testing.T) {
	t.Parallel()
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080} }
	for name, test := range map[string]struct {
		config    config.Config
		address   net.Addr
		curl, url string
	}{
		"loopback":      {config.Config{}, tcp("127.0.0.1"), "curl", "http://127.0.0.1:8080"},
		"all addresses": {config.Config{}, tcp("::"), "curl", "http://localhost:8080"},
		"Unix socket":   {config.Config{}, &net.UnixAddr{Name: "/run/b.sock", Net: "unix"}, "curl --unix-socket /run/b.sock", "http://localhost"},
		"TLS":           {config.Config{TLSCertFile: "/c.pem"}, tcp("127.0.0.1"), "curl --cacert /c.pem", "https://127.0.0.1:8080"},
		"client certificates": {config.Config{TLSCertFile: "/c.pem", TLSClientCAFile: "/ca.pem"}, tcp("::1"),
			"curl --cacert /c.pem --cert CERTIFICATE --key KEY", "https://[::1]:8080"},
		"access key": {config.Config{AccessKey: tokensource.NewSecret("canary")}, tcp("127.0.0.1"),
			`curl -H "Authorization: Bearer $BROKER_ACCESS_KEY"`, "http://127.0.0.1:8080"},
		"file with access keys": {config.Config{AccessKeyFile: "/key"}, tcp("127.0.0.1"),
			`curl -H "Authorization: Bearer $(head -n 1 /key)"`, "http://127.0.0.1:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.APIURL = "https://api.example"
			if runtime.GOOS == "windows" {
				test.curl = strings.NewReplacer("curl", "curl.exe", "head -n 1", "Get-Content -TotalCount 1", "$BROKER", "$env:BROKER").Replace(test.curl)
			}
			want := admin.ConnectionInfo{API: "https://api.example", URL: test.url, Curl: test.curl}
			got := server.ConnectionInfoWithoutKey(test.config, listenerAt{address: test.address})
			if got.Curl += server.CurlAccessKeyOption(test.config, nil); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}
