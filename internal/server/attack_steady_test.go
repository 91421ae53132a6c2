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

// As many uploads as there may be connections, of 20 kB a second each, do not keep the app out, though each
// makes just enough progress never to have kept the broker waiting for long.
func TestSteadyUploadsBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 16
		b := newAttackBubble(t, limits{app: limit, admin: 4}, longAPI)
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
			t.Errorf("%d after %v", status, took)
		}
	})
}

// Nor do as many downloads that are read at some 160 kB a second each.
func TestSteadyDownloadsBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 16
		b := newAttackBubble(t, limits{app: limit, admin: 4}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			t.Errorf("%d after %v", status, took)
		}
	})
}
