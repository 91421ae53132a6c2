package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

func TestTunnelsAreLimited(t *testing.T) {
	t.Parallel()
	if newTunnels(nil, nil, 16, nil) != nil {
		t.Fatal("tunnels without an authority")
	}
	tunnels := &tunnels{slots: make(chan struct{}, 2), listener: newHandover(), room: 2}
	for i, want := range []bool{true, true, false} {
		if got := tunnels.Reserve(); got != want {
			t.Fatalf("call %d of Reserve returned %v, want %v", i+1, got, want)
		}
	}
	tunnels.Release()
	if !tunnels.Reserve() {
		t.Error("got no slot after Release, want the released one")
	}
}

// A flood of tunnels of which nothing comes keeps neither apps out that need none nor, for long, those that do.
func TestTunnelFlood(t *testing.T) {
	t.Parallel()
	i := startIntercepting(t)
	target := strings.TrimPrefix(i.api, "https://")
	for range currentLimits().app * 3 / 4 {
		_, _ = i.connect(t, target, "")
	}
	if got := get(t, i.url+"/channels"); got.status != http.StatusOK {
		t.Errorf("an app without a tunnel: %d", got.status)
	}
	app := throughProxy(t, i.url, &http.Transport{TLSClientConfig: i.trusted})
	eventually(t, "an app with a tunnel is served", func() bool {
		response, err := app.Get(i.api + "/channels")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// The login server is answered for, and never confused with the API, however its name is written.
func TestTunnelToTheLoginServer(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	api, login := serveHTTP(t, eTrusted), serveHTTP(t, eTrusted)
	i := &intercepting{eTrusted: eTrusted, dir: t.TempDir()}
	i.running = startBroker(t, nil, environFor(api, "ETRUSTED_TOKEN_URL="+login+"/oauth/token", "BROKER_INTERCEPT_CA_DIR="+i.dir))
	i.ready()
	target := strings.TrimPrefix(login, "http://")
	conn, response := i.connect(t, target, "")
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	_ = secure.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(secure, "GET /userinfo HTTP/1.1\r\nHost: "+target+"\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	whole, _ := io.ReadAll(secure)
	if !strings.HasPrefix(string(whole), "HTTP/1.1 403") || eTrusted.APIRequestCount() != 0 {
		t.Errorf("%s", whole)
	}
}
