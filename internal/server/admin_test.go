package server

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A connection that has waited for room is closed for the next one as late as any other.
func TestWaitingForRoomTakesNoTimeFromAdminConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		evictor := connEvictor{max: 1}
		began := time.Now()
		for i := range 3 {
			conn, _ := net.Pipe()
			evictor.onConnState(conn, http.StateNew)
			if got, want := time.Since(began), time.Duration(i)*minAdminConnAgeToEvict; got != want {
				t.Errorf("connection %d: got it accepted after %v, want %v", i, got, want)
			}
		}
	})
}
