package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// fixedToken is a TokenSource whose token never changes. The program uses a tokensource.Source.
type fixedToken string

func (t fixedToken) Current() (string, *url.URL, bool)              { return string(t), nil, true }
func (t fixedToken) Wait(context.Context) (string, *url.URL, error) { return string(t), nil, nil }
func (fixedToken) Invalidate(string) bool                           { return false }
func (fixedToken) WaitNewer(context.Context, string) (string, *url.URL, error) {
	return "", nil, context.DeadlineExceeded
}
func (fixedToken) MarkAccepted(string) {}

// A Proxy is the handler of an http1.Server. It adds the token to the requests, and forwards them to the API.
func ExampleProxy() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RequestURI+" with "+r.Header.Get("Authorization"))
	}))
	defer api.Close()
	upstream, err := url.Parse(api.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http1.Client{ResponseTimeout: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", upstream.Host)
	}}
	defer client.CloseIdle()
	p, err := proxy.New(proxy.Config{
		Upstream:       upstream,
		UpstreamClient: client,
		Tokens:         func(account string) (proxy.TokenSource, bool) { return fixedToken("Bearer made-up"), account == "" },
		TokenWait:      10 * time.Second,
		Policy:         &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{upstream.Host}, nil)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http1.Server{Handler: p, HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer server.Close()
	go func() { _ = server.Serve(listener) }()

	for _, path := range []string{"/channels?page=1", "/@unknown/channels"} {
		response, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Println(response.StatusCode, response.Header.Get("Content-Type"))
		if response.StatusCode == http.StatusOK {
			fmt.Println(string(body))
		}
	}
	// Output:
	// 200 text/plain; charset=utf-8
	// /channels?page=1 with Bearer made-up
	// 404 application/problem+json
}
