package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"

	"etrusted-broker/proxy/http1"
)

// zeros is a Stream of zeros that never waits.
type zeros struct{ io.Reader }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (zeros) Trailer() http1.Fields { return nil }
func (zeros) Interrupt()            {}

// A long upload over TLS leaves in full records: a short one behind each of them would be a write of its own.
func TestUploadsFullTLSRecords(t *testing.T) {
	const size, record = 4 << 20, 16 << 10
	for name, length := range map[string]int64{"length": size, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			plain, config := &recordWrites{}, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}
			u := startUpstream(t, func(c *upstreamConn) {
				secure := tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
				each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) })(&upstreamConn{secure, bufio.NewReader(secure), c.upstream, c.number})
			})
			dial := u.client.Dial
			u.client.Dial = func(ctx context.Context) (net.Conn, error) {
				conn, err := dial(ctx)
				if err != nil {
					return nil, err
				}
				plain.Conn = conn
				secure := http1.TLSClient(plain, config)
				return secure, secure.HandshakeContext(ctx)
			}
			r := newRequest(t, http.MethodPost)
			r.ContentLength, r.Stream = length, zeros{io.LimitReader(zeroReader{}, size)}
			u.mustSucceed(t, r)
			var sizes []int
			for _, w := range plain.writes {
				sizes = append(sizes, len(w))
			}
			if most := size / record * 11 / 10; len(sizes) > most {
				t.Errorf("got %d writes, the last of %v bytes, want at most %d", len(sizes), sizes[len(sizes)-8:], most)
			}
		})
	}
}
