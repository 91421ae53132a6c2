package server

import (
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// A connection that has waited for room is closed for the next one as late as any other.
func TestWaitingForRoomTakesNoTimeFromAdminConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := fakeetrusted.NewListener()
		bounded := &evictingListener{Listener: listener, max: 1}
		began := time.Now()
		for i := range 3 {
			go func() { _, _ = listener.Dial(t.Context(), "tcp", "") }()
			if _, err := bounded.Accept(); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(began), time.Duration(i)*minAdminConnAge; got != want {
				t.Errorf("connection %d: got it accepted after %v, want %v", i, got, want)
			}
		}
	})
}
