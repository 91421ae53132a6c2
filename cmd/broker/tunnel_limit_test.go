package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// A flood of tunnels of which nothing comes keeps neither apps out that need none nor, for long, those that do.
func TestUnusedTunnelsBlockNoApp(t *testing.T) {
	t.Parallel()
	i := startInterceptingBroker(t)
	target := strings.TrimPrefix(i.api, "https://")
	limit, _ := i.Logs.Lines("listening")[0]["max_connections"].(float64)
	for range int(limit) * 3 / 4 {
		_, _ = i.connect(t, target, "")
	}
	if got := brokertest.Get(t, i.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("an app without a tunnel: %d", got.Status)
	}
	app := throughProxy(t, i.URL, &http.Transport{TLSClientConfig: i.tlsConfig})
	brokertest.Eventually(t, "an app with a tunnel is served", func() bool {
		response, err := app.Get(i.api + "/channels")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// The login server is answered for, and never confused with the API, however its name is written.
func TestTunnelToLoginServerNeverReachesAPI(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	api, login := brokertest.Serve(t, eTrusted), brokertest.Serve(t, eTrusted)
	i := &interceptingBroker{eTrusted: eTrusted, caDir: t.TempDir()}
	i.Broker = startBroker(t, nil, brokertest.Environ(api, "ETRUSTED_TOKEN_URL="+login+"/oauth/token", "BROKER_INTERCEPT_CA_DIR="+i.caDir))
	i.WaitReady()
	target := strings.TrimPrefix(login, "http://")
	conn, response := i.connect(t, target, "")
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	_ = secure.SetDeadline(time.Now().Add(brokertest.Timeout))
	if _, err := io.WriteString(secure, "GET /userinfo HTTP/1.1\r\nHost: "+target+"\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	whole, _ := io.ReadAll(secure)
	if !strings.HasPrefix(string(whole), "HTTP/1.1 403") || eTrusted.APIRequestCount() != 0 {
		t.Errorf("%s", whole)
	}
}
