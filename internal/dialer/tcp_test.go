package dialer_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/resolver"
)

// listen returns a listener that accepts, and closes, connections.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Skip(err) // no IPv6
	}
	brokertest.ServeRawOn(t, l, func(net.Conn) {})
	return l
}

// What is checked is the address to which a connection is about to be opened, not the name.
func TestDoesNotConnectToRefusedAddresses(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, refused := range []bool{true, false} {
		tcp := &dialer.AddressFilteringTCPDialer{Refused: func(address netip.Addr) bool { return refused && address.Unmap().IsLoopback() }}
		for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
			conn, err := tcp.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
			if conn != nil {
				_ = conn.Close()
			}
			if errors.Is(err, neterr.ErrAddressRefused) != refused || (err == nil) == refused {
				t.Errorf("%s, refused=%t: got %v", host, refused, err)
			}
		}
	}
}

func TestDoesNotConnectToItsOwnListeners(t *testing.T) {
	loopback, everywhere, other := listen(t, "127.0.0.1:0"), listen(t, "0.0.0.0:0"), listen(t, "127.0.0.1:0")
	tcp := &dialer.AddressFilteringTCPDialer{Listeners: []net.Addr{loopback.Addr(), everywhere.Addr(), &net.UnixAddr{Name: "/run/x"}}}
	port := func(l net.Listener) string {
		return strings.TrimPrefix(l.Addr().String()[strings.LastIndexByte(l.Addr().String(), ':'):], ":")
	}
	for _, test := range []struct {
		address string
		isLoop  bool
	}{
		{"127.0.0.1:" + port(loopback), true},
		{"localhost:" + port(loopback), true},
		{"[::ffff:127.0.0.1]:" + port(loopback), true},
		{"127.0.0.1:" + port(everywhere), true},
		{"0.0.0.0:" + port(everywhere), true},
		{"0.0.0.0:" + port(loopback), true},
		{"[::]:" + port(loopback), true},
		{"127.0.0.1:" + port(other), false},
	} {
		conn, err := tcp.DialContext(t.Context(), "tcp", test.address)
		if conn != nil {
			_ = conn.Close()
		}
		// localhost may have a second address, at which nothing listens.
		if got := errors.Is(err, neterr.ErrLoop); got != test.isLoop && !strings.HasPrefix(test.address, "localhost") || test.isLoop && conn != nil {
			t.Errorf("%s: got a connection: %v, error %v; want a loop: %v", test.address, conn != nil, err, test.isLoop)
		}
	}
}

func TestResolverIsForItsHostsOnly(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dns := brokertest.ServeDNS(t, "2001:db8::1", "127.0.0.2", "127.0.0.1")
	// 127.0.0.2 and 2001:db8::1 do not accept: every address is tried.
	tcp := &dialer.AddressFilteringTCPDialer{Resolver: resolver.New(netip.MustParseAddrPort(dns))}
	tcp.UseResolverFor("api.example", "LOGIN.example")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, host := range []string{"api.example", "LOGIN.example"} {
		conn, err := tcp.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if got := conn.RemoteAddr().String(); got != l.Addr().String() {
			t.Errorf("%s: got a connection to %s, want %s", host, got, l.Addr())
		}
		_ = conn.Close()
	}
	conn, err := tcp.DialContext(ctx, "tcp", net.JoinHostPort("other.invalid", port))
	if err == nil {
		_ = conn.Close()
		t.Error("other.invalid: got a connection, want the system's answer, which is an error")
	}
	if _, err = tcp.DialContext(ctx, "tcp", net.JoinHostPort("api.example", "1")); err == nil || ctx.Err() != nil {
		t.Errorf("no address accepts: got %v, want an error at once", err)
	}
}
