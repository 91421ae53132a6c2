package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
)

// bubble is a broker and its upstream in memory, with synctest's clock.
type bubble struct {
	client   *http.Client
	listener *fakeetrusted.Listener // the broker's
	records  chan proxy.RequestRecord
	upstream chan string // the Authorization of each request that arrived there
}

func inBubble(t *testing.T, tokens proxy.TokenSource, wait time.Duration, f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{listener: fakeetrusted.NewListener(), records: make(chan proxy.RequestRecord, 10), upstream: make(chan string, 10)}
		upNet := fakeetrusted.NewListener()
		up := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			b.upstream <- r.Header.Get("Authorization")
		})}
		config := newConfig(t, "http://api.example")
		toUp := &http1.Client{Dial: func(ctx context.Context) (net.Conn, error) { return upNet.Dial(ctx, "tcp", "") }}
		config.UpstreamClient, config.Tokens, config.TokenWait = toUp, accounts{"": tokens}.tokens, wait
		config.OnRequestEnd = func(r proxy.RequestRecord) { b.records <- r }
		handler, err := proxy.New(config)
		if err != nil {
			t.Fatal(err)
		}
		app := &http1.Server{Handler: handler, HeaderTimeout: time.Minute, IdleTimeout: time.Minute}
		toBroker := &http.Transport{DialContext: b.listener.Dial}
		b.client = &http.Client{Transport: toBroker}

		served := make(chan error, 2)
		go func() { served <- up.Serve(upNet) }()
		go func() { served <- app.Serve(b.listener) }()
		f(t, b)
		toBroker.CloseIdleConnections()
		toUp.CloseIdle()
		app.Close()
		if err := up.Close(); err != nil {
			t.Error(err)
		}
		for range cap(served) {
			if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, http1.ErrServerClosed) {
				t.Error(err)
			}
		}
	})
}

func (b *bubble) get(t *testing.T) result {
	t.Helper()
	response, err := b.client.Get("http://localhost/x")
	if err != nil {
		t.Fatal(err)
	}
	return readResult(response)
}

func (b *bubble) wantNothingUpstream(t *testing.T) {
	t.Helper()
	select {
	case got := <-b.upstream:
		t.Errorf("got a request with %q upstream, want none", got)
	default:
	}
}

func TestRespondsAfterTokenWait(t *testing.T) {
	inBubble(t, &fakeTokens{}, 10*time.Second, func(t *testing.T, b *bubble) {
		began := time.Now()
		a := b.get(t)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("waited %v, want 10s", took)
		}
		wantProblem(t, a, 503, "destination_unavailable")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("got Retry-After %q, want 1", a.header["Retry-After"])
		}
		b.wantNothingUpstream(t)
		if got := <-b.records; got.Status != 503 || got.ProxyError != "destination_unavailable" || got.Duration != 10*time.Second || got.Upstream != 0 {
			t.Errorf("got %+v, want a problem after 10s, and nothing sent", got)
		}
	})
}

func TestRespondsWithTheProblemOfTheTokenSource(t *testing.T) {
	for _, test := range []struct {
		name       string
		err        error
		errorType  string
		retryAfter string
		detail     string
	}{
		{"outage", unavailable("the login server answers 503", "Wait: it is retried.", 1200*time.Millisecond), "destination_unavailable", "2", "The login server answers 503. Wait: it is retried."},
		{"long outage", unavailable("it is down", "Wait.", 5*time.Minute), "destination_unavailable", "300", "It is down. Wait."},
		{"rejected", rejected("the credentials are rejected", "Open the Control Centre.", 5*time.Minute), "proxy_configuration_error", "300", "The credentials are rejected. Open the Control Centre."},
		{"rejected for good", rejected("the credentials are rejected", "Open the Control Centre.", 0), "proxy_configuration_error", "", "The credentials are rejected. Open the Control Centre."},
		{"wrapped", errors.Join(unavailable("it \"is\" dówn", "Wait.", time.Second)), "destination_unavailable", "1", "It \"is\" dówn. Wait."},
	} {
		t.Run(test.name, func(t *testing.T) {
			tokens := &fakeTokens{wait: func(context.Context) (string, error) { return "", test.err }}
			inBubble(t, tokens, 10*time.Second, func(t *testing.T, b *bubble) {
				began := time.Now()
				a := b.get(t)
				if took := time.Since(began); took != 0 {
					t.Errorf("waited %v, want no wait", took)
				}
				if got := wantProblem(t, a, 503, test.errorType); got != test.detail {
					t.Errorf("got detail %q, want that of the token source", got)
				}
				if got := a.header.Get("Retry-After"); got != test.retryAfter {
					t.Errorf("got Retry-After %q, want that of the token source", got)
				}
				b.wantNothingUpstream(t)
			})
		})
	}
}

// An unknown error may contain anything, even a token.
func TestNeverQuotesUnknownTokenError(t *testing.T) {
	tokens := &fakeTokens{wait: func(context.Context) (string, error) { return "", errors.New("got " + canary) }}
	inBubble(t, tokens, time.Second, func(t *testing.T, b *bubble) {
		wantProblem(t, b.get(t), 503, "destination_unavailable")
		b.wantNothingUpstream(t)
	})
}

func TestWaitsForToken(t *testing.T) {
	tokens := &fakeTokens{wait: func(ctx context.Context) (string, error) {
		select {
		case <-time.After(3 * time.Second):
			return authorization, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}}
	inBubble(t, tokens, 10*time.Second, func(t *testing.T, b *bubble) {
		if a := b.get(t); a.status != 200 {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
		if got := <-b.upstream; got != authorization {
			t.Errorf("got Authorization %q, want the token", got)
		}
		if got := <-b.records; got.Status != 200 || got.Duration != 3*time.Second || got.Upstream != 0 {
			t.Errorf("got %+v, want status 200 after 3s", got)
		}
	})
}

// The timeout is only for the wait: a response may stream for longer.
func TestTokenWaitDoesNotLimitTheResponse(t *testing.T) {
	next := make(chan struct{})
	waited := make(chan context.Context, 1)
	up := serve(t, h1, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-next:
			_, _ = io.WriteString(w, "late")
		case <-r.Context().Done():
		}
	})
	b := start(t, up, func(s *setup) {
		s.TokenWait = time.Hour
		s.Tokens = accounts{"": &fakeTokens{wait: func(ctx context.Context) (string, error) {
			waited <- ctx
			return authorization, nil
		}}}.tokens
	})
	response, err := b.client.Do(b.request(t, "GET", "/x", nil))
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Receive(t, "the wait's context to end", brokertest.Receive(t, "the wait", waited).Done())
	close(next)
	if a := readResult(response); a.body != "late" || a.err != nil {
		t.Errorf("got %q, %v, want the whole response", a.body, a.err)
	}
}

// A denied request does not read the token.
func TestReadsTokenAfterRequestBody(t *testing.T) {
	tokens := &fakeTokens{}
	b := start(t, "http://api.example", func(s *setup) { s.Tokens = accounts{"": tokens}.tokens })
	for _, request := range []string{
		"GET /x HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: localhost\r\nVia: 1.1 etrusted-broker\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		c := b.dial(t)
		c.send(request)
		c.result("GET")
	}
	if n := tokens.currentCalls.Load(); n != 0 {
		t.Errorf("got %d calls of Current, want none", n)
	}
}

// The fake eTrusted answers through the broker as it does directly.
func TestResponsesEqualThoseOfADirectConnection(t *testing.T) {
	shop := fakeetrusted.New(fakeetrusted.Options{})
	up := serve(t, secure, shop.ServeHTTP)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots()}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	form := "grant_type=client_credentials&client_id=" + fakeetrusted.DefaultClientID + "&client_secret=" + fakeetrusted.DefaultClientSecret + "&audience=https://api.etrusted.com"
	response, err := client.Post(up+"/oauth/token", "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if a := readResult(response); a.status != 200 || len(shop.Tokens()) != 1 {
		t.Fatalf("got %d %s, want a token", a.status, a.body)
	}
	bearer := "Bearer " + shop.Tokens()[0]
	b := start(t, up, func(s *setup) { s.Tokens = accounts{"": &fakeTokens{current: bearer}}.tokens })
	for _, target := range []string{"/channels", "/reviews?count=3&rating=5", "/reviews/no-such-review", "/event-types"} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", up+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", bearer)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		want, got := readResult(response), b.get(t, target)
		if got.status != want.status || got.body != want.body || got.header.Get("Content-Type") != want.header.Get("Content-Type") {
			t.Errorf("%s: %d %s\nwant %d %s", target, got.status, got.body, want.status, want.body)
		}
	}
	shop.Revoke()
	if a := b.get(t, "/channels"); a.status != 401 {
		t.Errorf("got %d after the end of the token, want 401", a.status)
	}
}
