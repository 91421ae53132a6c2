package main

import (
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// Many tunnels that send no request do not block apps without a tunnel, and block apps with a tunnel only for a while.
func TestUnusedTunnelsBlockNoApp(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	target := strings.TrimPrefix(i.api, "https://")
	limit, _ := i.Logs.Lines("listening")[0]["max_connections"].(float64)
	for range int(limit) * 3 / 4 {
		i.Dial(t).Connect(target)
	}
	if got := brokertest.Get(t, i.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("an app without a tunnel: got status %d, want 200", got.Status)
	}
	app := throughProxy(t, i.URL, &http.Transport{TLSClientConfig: i.tlsConfig})
	brokertest.Eventually(t, "an app with a tunnel is served", func() bool {
		return brokertest.ReadResponse(app.Get(i.api+"/channels")).Status == http.StatusOK
	})
}
