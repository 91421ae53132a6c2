package server

import (
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongestOpenAdminConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, clients = 4, 20
		b := newAttackBubble(t, connectionLimits{app: 4, admin: limit}, nil)
		closed := make(chan int, clients)
		var want []int
		for i := range clients {
			b.attack(b.admin, 1, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "GET /")
				readUntilClosed(conn)
				closed <- i
			})
			if i <= clients-limit { // the last one makes room for the operator
				want = append(want, i)
			}
			time.Sleep(minAdminConnAgeToEvict) // all together less than the timeout of their headers
		}
		if _, status := b.get(b.admin, "/healthz"); status != http.StatusOK {
			t.Errorf("got status %d, want 200", status)
		}
		synctest.Wait()
		var got []int
		for len(closed) > 0 {
			got = append(got, <-closed)
		}
		if !slices.Equal(got, want) {
			t.Errorf("connections were closed in the order %v, want %v", got, want)
		}
	})
}

// A connection that has waited for room is closed for the next one as late as any other.
func TestWaitingForRoomTakesNoTimeFromAdminConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		evictor := adminConnEvictor{max: 1}
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
