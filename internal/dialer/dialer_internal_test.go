package dialer

import (
	"context"
	"net"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/neterr"
)

func TestHandshakeHasTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() { _, _ = far.Read(make([]byte, 4096)) }()
		start := time.Now()
		_, err := new(ServerDialer).handshake(t.Context(), near, "example.com")
		if took := time.Since(start); err == nil || took != 10*time.Second {
			t.Fatalf("got %v after %s, want an error after 10 s", err, took)
		}
		if got := neterr.Describe("", err); got.Code != "tls-handshake-timeout" {
			t.Errorf("got %+v, want a slow handshake", got)
		}
		_ = far.Close()
	})
}

func TestTunnelHasTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			for {
				if _, err := far.Read(make([]byte, 4096)); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		err := new(ServerDialer).requestTunnel(context.Background(), near, &url.URL{}, "example.com:443")
		if took := time.Since(start); err == nil || took != 10*time.Second {
			t.Errorf("got %v after %s, want an error after 10 s", err, took)
		}
		_, _ = near.Close(), far.Close()
	})
}
