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

// bubble is a whole broker in a synctest bubble, between apps and a fake eTrusted, connected by networks in memory. Time is fake: a
// request takes no time unless it waits for something.
type bubble struct {
	broker     *broker
	eTrusted   *fakeetrusted.Server // its API, too, unless the test has another
	app, admin *fakeetrusted.Listener
	client     *http.Client // of an app
	logs       *brokertest.LogBuffer
	stop       func() error // shuts the broker down, and returns what serve returns
}

// setup is what a test can change before its broker starts.
type setup struct {
	config   config.Config
	toAPI    *http1.Client
	limits   connectionLimits
	serveAPI func(net.Listener)
}

// newBubble starts a broker, which the end of the test stops.
func newBubble(t *testing.T, options fakeetrusted.Options) *bubble {
	t.Helper()
	return newBubbleWith(t, options, func(*setup) {})
}

// newBubbleWith is newBubble with a change to the setup.
func newBubbleWith(t *testing.T, options fakeetrusted.Options, change func(*setup)) *bubble {
	t.Helper()
	b := &bubble{eTrusted: fakeetrusted.New(options), app: fakeetrusted.NewListener(), admin: fakeetrusted.NewListener(), logs: &brokertest.LogBuffer{}}
	api, login := fakeetrusted.NewListener(), fakeetrusted.NewListener()
	toLogin := NewLoginTransport(new(dialer.AddressFilteringTCPDialer))
	toLogin.Proxy, toLogin.DialContext = nil, login.Dial
	s := setup{
		config: config.Config{
			ClientID:      tokensource.NewSecret(fakeetrusted.DefaultClientID),
			ClientSecret:  tokensource.NewSecret(fakeetrusted.DefaultClientSecret),
			TokenURL:      "http://login.example/oauth/token",
			Audience:      "https://api.etrusted.com",
			API:           &url.URL{Scheme: "http", Host: "api.example"},
			Login:         &url.URL{Scheme: "http", Host: "login.example"},
			TokenWait:     10 * time.Second,
			ShutdownGrace: 25 * time.Second,
			Replay401:     true,
			ReplayBuffer:  64 << 10,
		},
		toAPI: &http1.Client{
			Dial:            func(ctx context.Context) (net.Conn, error) { return api.Dial(ctx, "tcp", "") },
			ResponseTimeout: time.Minute,
		},
		serveAPI: func(l net.Listener) { serveInMemory(t, l, b.eTrusted) },
	}
	change(&s)
	t.Cleanup(func() { time.Sleep(time.Minute) }) // net/http closes connections after a delay
	serveInMemory(t, login, b.eTrusted)
	s.serveAPI(api)
	var err error
	b.broker, err = newBroker(s.config, Build{}, newLogger(b.logs, zapcore.InfoLevel, "json"), s.toAPI, toLogin)
	if err != nil {
		t.Fatal(err)
	}
	if s.limits != (connectionLimits{}) {
		b.broker.limits = s.limits
	}
	transport := &http.Transport{DialContext: b.app.Dial, MaxIdleConnsPerHost: 100}
	b.client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.broker.serve(ctx, Listeners{App: []net.Listener{b.app}, Admin: b.admin}) }()
	b.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := b.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		s.toAPI.CloseIdle()
		toLogin.CloseIdleConnections()
	})
	return b
}

// serveInMemory serves handler until the end of the test.
func serveInMemory(t *testing.T, l net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
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
