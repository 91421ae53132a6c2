package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/tokensource"
)

// bubble is a whole broker in a synctest bubble, between a client and a fake eTrusted, connected by networks in memory. Time
// is fake: a request takes no time unless it waits for something.
type bubble struct {
	broker   *broker
	eTrusted *fakeetrusted.Server
	client   *http.Client
	logs     *brokertest.LogBuffer
	stop     func() error // shuts the broker down, and returns what serve returns
}

// newBubble starts a broker, which the end of the test stops.
func newBubble(t *testing.T, options fakeetrusted.Options) *bubble {
	t.Helper()
	return newBubbleWith(t, options, func(*config.Config) {})
}

// newBubbleWith is newBubble with a change to the configuration.
func newBubbleWith(t *testing.T, options fakeetrusted.Options, change func(*config.Config)) *bubble {
	t.Helper()
	b := &bubble{eTrusted: fakeetrusted.New(options), logs: &brokertest.LogBuffer{}}
	upstreams := fakeetrusted.NewListener()
	server := &http.Server{Handler: b.eTrusted, ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(upstreams) }()
	toAPI, toLogin := newClientInMemory(upstreams), NewLoginTransport(new(dialer.Network))
	toLogin.Proxy, toLogin.DialContext = nil, upstreams.Dial

	api, err := url.Parse("http://api.example")
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config{
		ClientID:      tokensource.NewSecret(fakeetrusted.DefaultClientID),
		ClientSecret:  tokensource.NewSecret(fakeetrusted.DefaultClientSecret),
		TokenURL:      "http://login.example/oauth/token",
		Audience:      "https://api.etrusted.com",
		API:           api,
		Login:         &url.URL{Scheme: "http", Host: "login.example"},
		TokenWait:     10 * time.Second,
		ShutdownGrace: 25 * time.Second,
		Replay401:     true,
		ReplayBuffer:  64 << 10,
	}
	change(&c)
	b.broker, err = newBroker(c, Build{}, newLogger(b.logs, zapcore.InfoLevel, "json"), toAPI, toLogin)
	if err != nil {
		t.Fatal(err)
	}
	app := fakeetrusted.NewListener()
	transport := &http.Transport{DialContext: app.Dial, MaxIdleConnsPerHost: 100}
	b.client = &http.Client{Transport: transport}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.broker.serve(ctx, Listeners{App: []net.Listener{app}}) }()
	b.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := b.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		toAPI.CloseIdle()
		toLogin.CloseIdleConnections()
		_ = server.Close()
	})
	return b
}

// newClientInMemory returns a client for an API that serves on a listener in memory.
func newClientInMemory(api *fakeetrusted.Listener) *http1.Client {
	return &http1.Client{
		Dial:            func(ctx context.Context) (net.Conn, error) { return api.Dial(ctx, "tcp", "") },
		ResponseTimeout: time.Minute,
	}
}

// get sends a GET request and returns the response, whose body it has read, and how long it took.
func (b *bubble) get(t *testing.T) (response *http.Response, took time.Duration) {
	t.Helper()
	began := time.Now()
	response, err := b.client.Get("http://localhost:8080/channels")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response, time.Since(began)
}

// do sends a request and returns the response with its body read.
func (b *bubble) do(t *testing.T, method, path string, body io.Reader) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://localhost:8080"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}
