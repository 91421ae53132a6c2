package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
)

func TestAPITransportRoundTrip(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-released
		}
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(api.Close)
	t.Cleanup(func() { close(released) })
	transport := NewBodylessAPITransport(parseURL(t, api.URL), loadConfig(t, brokertest.Environ(api.URL)), new(dialer.GuardedTCPDialer))
	connections := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{ConnectDone: func(string, string, error) { connections++ }})
	send := func(ctx context.Context, path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer x")
		return transport.RoundTrip(request)
	}
	for range 2 { // the second request is sent on the same connection
		response, err := send(ctx, "/channels?a=%2f")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		want := "GET /channels?a=%2f " + strings.TrimPrefix(api.URL, "http://") + " Bearer x"
		if string(body) != want || strings.Join(response.Header["X-Two"], ",") != "a,b" {
			t.Errorf("got %q and %v, want %q", body, response.Header, want)
		}
	}
	if connections != 1 {
		t.Errorf("got %d connections, want 1", connections)
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	response, err := send(limited, "/hang")
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}
