package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// recordingListener records the writes of its connections.
type recordingListener struct {
	net.Listener
	writes *recordedWrites
}

type recordedWrites struct {
	mu    sync.Mutex
	sizes []int
}

func (l recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return recordingConn{conn, l.writes}, nil
}

type recordingConn struct {
	net.Conn
	writes *recordedWrites
}

func (c recordingConn) Write(p []byte) (int, error) {
	c.writes.mu.Lock()
	c.writes.sizes = append(c.writes.sizes, len(p))
	c.writes.mu.Unlock()
	return c.Conn.Write(p)
}

// A gzipped response that has arrived as a whole leaves in as few writes as a plain one. The API does not know the length of what it
// compresses, so that even short ones are chunked.
func TestSendsGunzippedResponseInFewWrites(t *testing.T) {
	for length, most := range map[int]int{1 << 10: 1, 100 << 10: 8} {
		for name, gzipped := range map[string]bool{"plain": false, "gzip": true} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, length), func(t *testing.T) {
				text := `["` + strings.Repeat("0123456789abcde ", length/16) + `"]`
				body, coding := text, ""
				if gzipped {
					body, coding = brokertest.Gzipped(text), "Content-Encoding: gzip\r\n"
				}
				up := startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+coding+"Transfer-Encoding: chunked\r\n\r\n"+chunked(body)))
				writes := new(recordedWrites)
				b := start(t, "http://"+up, withLinkRewriting, func(s *setup) { s.listener = recordingListener{s.listener, writes} })
				if got := b.get(t, "/x"); got.body != text {
					t.Fatalf("got %.40q, want the text", got.body)
				}
				writes.mu.Lock()
				defer writes.mu.Unlock()
				if len(writes.sizes) > most {
					t.Errorf("got writes of %v bytes, want at most %d", writes.sizes, most)
				}
			})
		}
	}
}
