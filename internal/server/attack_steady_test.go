package server

import (
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

// Uploads of 20 kB per second each take all connections. They do not block the app, although each makes just enough progress
// that the broker never waits long for it.
func TestSteadyUploadsBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 16
		b := newAttackBubble(t, connectionLimits{app: limit, admin: 4}, longAPI)
		b.attack(b.app, limit, func(c net.Conn) {
			_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
			go readUntilClosed(c)
			for {
				if _, err := c.Write(tenKilobytes[:4<<10]); err != nil {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
		synctest.Wait()
		if took, status := b.get(b.app, "/channels"); status != http.StatusOK {
			t.Errorf("got status %d after %v, want 200", status, took)
		}
	})
}

// Downloads that are read at some 160 kB per second each take all connections. They do not block the app either.
func TestSteadyDownloadsBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 16
		b := newAttackBubble(t, connectionLimits{app: limit, admin: 4}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.URL.Path == "/long" {
				if _, err := w.Write(tenKilobytes); err != nil {
					return
				}
			}
		}))
		b.attack(b.app, limit, func(c net.Conn) {
			_, _ = io.WriteString(c, brokertest.PlainRequest("GET /long"))
			for part := make([]byte, 32<<10); ; time.Sleep(200 * time.Millisecond) {
				if _, err := io.ReadFull(c, part); err != nil {
					return
				}
			}
		})
		synctest.Wait()
		if took, status := b.get(b.app, "/channels"); status != http.StatusOK {
			t.Errorf("got status %d after %v, want 200", status, took)
		}
	})
}
