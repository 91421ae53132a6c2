package server

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// TestDrainWaitsBrieflyForSilentConnection: a new connection without a request delays the shutdown for silence only.
func TestDrainWaitsBrieflyForSilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, fakeetrusted.Options{})
		w.get(t)
		conn, err := w.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "localhost:8080")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		synctest.Wait()
		began := time.Now()
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < silence || took > silence+time.Second {
			t.Errorf("the end took %v, want little more than %v", took, silence)
		}
	})
}
