package proxy_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

func gunzipped(t testing.TB, body string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatalf("got %v in %q, want gzip", err, body)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// randomBytes returns text that gzip does not shorten.
func randomBytes(length int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < length {
		b.WriteString(strconv.FormatUint(random.Uint64(), 36))
	}
	return b.String()
}

// A body that is not gzip is forwarded unchanged, whatever its Content-Encoding.
func TestForwardsInvalidGzip(t *testing.T) {
	for _, body := range []string{`["BASE/x"]`, "", "\x1f", `["BASE/x","` + strings.Repeat("x", 100<<10) + `"]`} {
		up := startRawUpstream(t, afterRequest(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(body), body)))
		got := start(t, "http://"+up, withLinkRewriting).get(t, "/x")
		if coding := got.header.Get("Content-Encoding"); got.body != body || body != "" && coding != "" {
			t.Errorf("%.20q: got %.20q with Content-Encoding %q, want it unchanged without one", body, got.body, coding)
		}
	}
}

// An app that excludes identity gets coded bodies unchanged, since rewritten ones have no coding.
func TestForwardsCodedBodyIfIdentityIsExcluded(t *testing.T) {
	up := startUpstream(t, 200, pageWithLinks("BASE"), "Content-Type: application/json", "Content-Encoding: gzip", `Etag: "v1"`)
	b := start(t, up, withLinkRewriting)
	for accepted, want := range map[string]string{
		"gzip": rewrittenPage(up, b.server.URL), "gzip, identity": rewrittenPage(up, b.server.URL),
		"gzip, identity;q=0": brokertest.Gzipped(pageWithLinks(up)), "gzip, *;q=0": brokertest.Gzipped(pageWithLinks(up)),
	} {
		r := b.request(t, "GET", "/x", nil)
		r.Header.Set("Accept-Encoding", accepted)
		got := b.do(t, r)
		if unchanged := got.header.Get("Content-Encoding") == "gzip" && got.header.Get("Etag") == `"v1"`; got.body != want || unchanged != strings.Contains(accepted, "q=0") {
			t.Errorf("Accept-Encoding %s: %v %q, want %q", accepted, got.header, got.body, want)
		}
	}
}

func TestNegotiatesGzipOrIdentity(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, withLinkRewriting)
	for accepted, want := range map[string]string{
		"": "", "gzip": "gzip", "gzip, deflate, br, zstd": "gzip", "br;q=1.0, GZIP;q=0.5": "gzip", "*": "gzip", "x-gzip": "gzip",
		"gzip;q=0, *": "identity", "*, gzip;q=0": "identity", "br": "identity", "identity": "identity", "deflate, br": "identity", "gzip;q=0": "identity",
		"gzip;q=0.1": "gzip", "notgzip": "identity", "gzip, identity, *;q=0": "gzip",
		// Rewritten responses have no coding. If the app does not accept that, Accept-Encoding is forwarded unchanged.
		"gzip, identity;q=0": "gzip, identity;q=0", "br, gzip, *;q=0": "br, gzip, *;q=0", "gzip; q=0.000, *;q=0": "gzip; q=0.000, *;q=0",
	} {
		r := b.request(t, "GET", "/x", nil)
		if accepted != "" {
			r.Header.Set("Accept-Encoding", accepted)
		}
		b.do(t, r)
		if got := up.request(t).header.Get("Accept-Encoding"); got != want {
			t.Errorf("%q goes on as %q, want %q", accepted, got, want)
		}
	}
}

// Bytes after a gzip body are dropped, as most programs do. Another gzip member is part of the body.
func TestConnectionStaysInSyncAfterGzip(t *testing.T) {
	for name, test := range map[string]struct{ after, want string }{
		"padding":        {strings.Repeat("\x00", 100), ""},
		"noise":          {"noise", ""},
		"another member": {brokertest.Gzipped(`[2]`), "[2]"},
	} {
		for _, length := range []int{0, 100 << 10} {
			address := make(chan string, 1)
			at := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
				at := <-address
				body := brokertest.Gzipped(`["http://`+at+`/x"]`+randomBytes(length)) + test.after
				afterRequest(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(body), body))(c, r)
			})
			address <- at
			b := start(t, "http://"+at, withLinkRewriting)
			got := b.get(t, "/x")
			if got.body != `["`+b.server.URL+`/x"]`+randomBytes(length)+test.want {
				t.Errorf("%s: got %.100s, want the rewritten page", name, got.body)
			}
		}
	}
}
