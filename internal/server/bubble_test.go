package server

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// bubble is the whole broker in a synctest bubble, between a client and a stand-in, all over networks in memory: time is
// fake, so a request that waits for nothing takes none.
type bubble struct {
	broker *broker
	eTrusted *fakeetrusted.Server
	client *http.Client
	logs   *brokertest.LogBuffer
	stop   func() error
}

func newBubble(t *testing.T, options fakeetrusted.Options) *bubble {
	t.Helper()
	return newBubbleWith(t, options, func(*config.Config) {})
}

// newBubbleWith is assemble with a configuration that is changed before the start.
func newBubbleWith(t *testing.T, options fakeetrusted.Options, change func(*config.Config)) *bubble {
	t.Helper()
	w := &bubble{eTrusted: fakeetrusted.New(options), logs: &brokertest.LogBuffer{}}
	eTrusted := fakeetrusted.NewListener()
	standIn := &http.Server{Handler: w.eTrusted, ReadHeaderTimeout: time.Hour}
	go func() { _ = standIn.Serve(eTrusted) }()
	toAPI, toLogin := newAPITransport(time.Minute), NewLoginTransport()
	toAPI.Proxy, toLogin.Proxy = nil, nil
	toAPI.DialContext, toLogin.DialContext = eTrusted.Dial, eTrusted.Dial

	upstream, err := url.Parse("http://api.example")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config{
		ClientID:      tokensource.NewSecret(fakeetrusted.DefaultClientID),
		ClientSecret:  tokensource.NewSecret(fakeetrusted.DefaultClientSecret),
		TokenURL:      "http://login.example/oauth/token",
		Audience:      "https://api.etrusted.com",
		API:           upstream,
		TokenWait:     10 * time.Second,
		ShutdownGrace: 25 * time.Second,
		Replay401:     true,
		ReplayBuffer:  64 << 10,
	}
	change(&c)
	w.broker, err = newBroker(c, Build{}, newLogger(w.logs, zapcore.InfoLevel, "json"), toAPI, toLogin)
	if err != nil {
		t.Fatal(err)
	}
	app := fakeetrusted.NewListener()
	transport := &http.Transport{DialContext: app.Dial, MaxIdleConnsPerHost: 100}
	w.client = &http.Client{Transport: transport}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.broker.serve(ctx, app, nil) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := w.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		toAPI.CloseIdleConnections()
		toLogin.CloseIdleConnections()
		_ = standIn.Close()
	})
	return w
}

// get makes one request and returns its status and how long it took.
func (w *bubble) get(t *testing.T) (response *http.Response, took time.Duration) {
	t.Helper()
	began := time.Now()
	response, err := w.client.Get("http://localhost:8080/channels")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response, time.Since(began)
}

// With 6-second tokens and a token endpoint that takes 1 s, four clients see no error and no request slower than the API
// itself, and each lifetime costs one token request.
func TestRefreshDelaysNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{Lifetime: 6 * time.Second})
		w.eTrusted.SetTokenDelay(time.Second)
		const apiTakes = 20 * time.Millisecond
		w.eTrusted.SetAPIDelay(apiTakes)
		w.get(t) // waits for the first token
		began, requests := time.Now(), w.eTrusted.TokenRequestCount()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for time.Since(began) < 20*time.Second {
					if response, took := w.get(t); response.StatusCode != http.StatusOK || took != apiTakes {
						t.Errorf("%d after %v, want 200 after %v", response.StatusCode, took, apiTakes)
						return
					}
				}
			})
		}
		clients.Wait()
		// Refreshes are due 4.2 to 4.8 s after the request before, of which the first was 1.02 s ago.
		if n := w.eTrusted.TokenRequestCount() - requests; n != 4 && n != 5 {
			t.Errorf("%d token requests in 20 s, want one each refresh interval", n)
		}
		if n := w.eTrusted.APIRequestCount(); n != 1+4*1000 {
			t.Errorf("%d requests reached the API, want 4001", n)
		}
	})
}

func TestServesThroughLoginServerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 60 * time.Second
		w := newBubble(t, fakeetrusted.Options{Lifetime: lifetime})
		w.get(t)
		began := time.Now()
		w.eTrusted.SetTokenFault(fakeetrusted.Status(http.StatusServiceUnavailable, nil))

		// For most of a lifetime no request fails.
		for time.Since(began) < lifetime-time.Second {
			if response, took := w.get(t); response.StatusCode != http.StatusOK || took != 0 {
				t.Fatalf("%d after %v, at %v", response.StatusCode, took, time.Since(began))
			}
			time.Sleep(500 * time.Millisecond)
		}

		// Past the expiry each gets a 503, and none goes upstream bare.
		time.Sleep(2 * time.Second)
		reached := w.eTrusted.APIRequestCount()
		response, took := w.get(t)
		status := response.Header.Get("Proxy-Status")
		if response.StatusCode != http.StatusServiceUnavailable || took != 10*time.Second ||
			response.Header.Get("Retry-After") == "" || !strings.HasPrefix(status, "etrusted-broker; error=") {
			t.Errorf("%d after %v, header %v", response.StatusCode, took, response.Header)
		}
		if n := w.eTrusted.APIRequestCount(); n != reached {
			t.Error("a request went upstream without a valid token")
		}

		// When it heals, so does the broker.
		w.eTrusted.SetTokenFault(nil)
		healing := time.Now()
		for response.StatusCode != http.StatusOK {
			response, _ = w.get(t)
		}
		if took := time.Since(healing); took > 30*time.Second {
			t.Errorf("healed after %v, want within one backoff", took)
		}
	})
}

func TestRejectedCredentialsFailWithoutDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{ClientSecret: "another"})
		response, _ := w.get(t)
		if response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d", response.StatusCode)
		}
		if response, took := w.get(t); response.StatusCode != http.StatusServiceUnavailable || took != 0 {
			t.Errorf("%d after %v", response.StatusCode, took)
		}
		if w.eTrusted.APIRequestCount() != 0 {
			t.Error("a request went upstream without a token")
		}
	})
}

// A drain that outlasts the token's life: the loop goes on until the last request has gone.
func TestRefreshesTokenWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{Lifetime: 5 * time.Second})
		w.get(t)
		w.eTrusted.SetAPIFault(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Second) }))
		status := make(chan int)
		go func() {
			response, _ := w.get(t)
			status <- response.StatusCode
		}()
		synctest.Wait()
		stopped := make(chan error)
		before := w.eTrusted.TokenRequestCount()
		go func() { stopped <- w.stop() }()
		if got := <-status; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if n := w.eTrusted.TokenRequestCount() - before; n < 4 {
			t.Errorf("%d refreshes in a drain of four lifetimes", n)
		}
	})
}
