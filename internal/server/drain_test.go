package server

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// A new connection that has sent no request delays the shutdown, but only for a second.
func TestDrainWaitsBrieflyForSilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{})
		b.get(t)
		conn, err := b.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "localhost:8080")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		synctest.Wait()
		began := time.Now()
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < time.Second || took > 2*time.Second {
			t.Errorf("the shutdown took %v, want between 1s and 2s", took)
		}
	})
}

// A drain may outlast the token. The refresh loop runs until the last request has ended.
func TestRefreshesTokenWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{Lifetime: 5 * time.Second})
		b.get(t)
		b.eTrusted.SetAPIFault(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(20 * time.Second) }))
		status := make(chan int)
		go func() {
			response, _ := b.get(t)
			status <- response.StatusCode
		}()
		synctest.Wait()
		stopped := make(chan error)
		before := b.eTrusted.TokenRequestCount()
		go func() { stopped <- b.stop() }()
		if got := <-status; got != http.StatusOK {
			t.Errorf("got status %d, want 200", got)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if n := b.eTrusted.TokenRequestCount() - before; n < 4 {
			t.Errorf("got %d refreshes in a drain of four token lifetimes, want at least 4", n)
		}
	})
}
