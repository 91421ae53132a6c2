package dialer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestInterleavesAddressFamilies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ addresses, want []string }{
		{[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"}, []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		{[]string{"2001:db8::1", "2001:db8::2", "192.0.2.1"}, []string{"2001:db8::1", "192.0.2.1", "2001:db8::2"}},
	} {
		var addresses []netip.Addr
		for _, address := range test.addresses {
			addresses = append(addresses, netip.MustParseAddr(address))
		}
		var got []string
		for _, address := range interleaveFamilies(addresses) {
			got = append(got, address.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v: got %v, want %v", test.addresses, got, test.want)
		}
	}
}

// An attempt that succeeds after the first one leaves no connection open.
func TestClosesLateConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := make(chan net.Conn, 2) // its ends of the connections
		dial := func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(2 * connectionAttemptDelay) // meanwhile, the other attempt begins
			conn, end := net.Pipe()
			server <- end
			return conn, nil
		}
		conn, err := dialParallel(t.Context(), dial, "tcp", make([]netip.Addr, 2), "443")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		for range 2 {
			end := <-server
			_ = end.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := end.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("got %v, want io.EOF", err)
			}
		}
	})
}
