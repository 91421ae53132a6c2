package dialer_test

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"slices"
	"testing"

	"etrusted-broker/internal/dialer"
)

func TestReportsEventsOfDial(t *testing.T) {
	t.Parallel()
	server, config := startServer(t)
	var events []string
	add := func(event string, err error) {
		if err != nil {
			event += " failed"
		}
		events = append(events, event)
	}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		ConnectDone:       func(_, address string, err error) { add("connected to "+address, err) },
		TLSHandshakeStart: func() { add("TLS", nil) },
		TLSHandshakeDone:  func(state tls.ConnectionState, err error) { add(tls.VersionName(state.Version), err) },
	})
	target := parse(t, server.URL)
	dial := func(ctx context.Context, config *tls.Config) {
		conn, err := (&dialer.ServerDialer{TCP: new(dialer.AddressFilteringTCPDialer), Server: target, TLS: config}).Dial(ctx)
		if err == nil {
			_ = conn.Close()
		}
	}
	dial(ctx, config)
	dial(ctx, nil) // does not trust the server
	want := []string{"connected to " + target.Host, "TLS", "TLS 1.3", "connected to " + target.Host, "TLS", "TLS 1.3 failed"}
	if !slices.Equal(events, want) {
		t.Errorf("got the events %q, want %q", events, want)
	}
	dial(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{}), config) // a trace needs no functions
}
