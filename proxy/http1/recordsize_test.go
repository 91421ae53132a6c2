package http1_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
)

// A long upload over TLS leaves in full records: a short one behind each of them would be a write of its own.
func TestUploadsFullTLSRecords(t *testing.T) {
	const size, record = 4 << 20, 16 << 10
	for name, length := range map[string]int64{"length": size, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			u := startUpstream(t, inTLS(1, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) })))
			plain := &recordWrites{}
			u.wrapConns(func(conn net.Conn) net.Conn {
				plain.Conn = conn
				return plain
			})
			u.addTLS(1, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
			r := newRequest(t, http.MethodPost)
			body, w := newStream()
			go func() {
				_, _ = w.Write(make([]byte, size))
				_ = w.Close()
			}()
			r.ContentLength, r.Stream = length, body
			u.mustSucceed(t, r)
			var sizes []int
			for _, write := range plain.writes {
				sizes = append(sizes, len(write))
			}
			if most := size / record * 11 / 10; len(sizes) > most {
				t.Errorf("got %d writes, the last of %v bytes, want at most %d", len(sizes), sizes[len(sizes)-8:], most)
			}
		})
	}
}
