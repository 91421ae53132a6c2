package proxy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// withLinkRewriting rewrites the links in responses.
func withLinkRewriting(s *setup) { s.RewriteLinks, s.ExternalScheme = true, "http" }

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

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

// pageWithLinks returns JSON with a link to the upstream, and others that only look like one.
func pageWithLinks(base string) string {
	return `{"paging":{"links":{"next":"` + base + `/reviews?after=x"}},"` + base + `/":1,"items":[{"text":"see ` + base + `/"},{"url":"` + base + `.evil/"}]}`
}

// rewrittenPage returns the same page as the app gets it.
func rewrittenPage(base, back string) string {
	return strings.Replace(pageWithLinks(base), `"next":"`+base, `"next":"`+back, 1)
}

// startUpstream starts an upstream that responds with a body, and with fields of the form "Name: value". If the body is short,
// it has a Content-Length.
func startUpstream(t testing.TB, status int, body string, headers ...string) (url string) {
	var at string
	at = serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Add(name, strings.ReplaceAll(value, "BASE", at))
		}
		body := strings.ReplaceAll(body, "BASE", at)
		if w.Header().Get("Content-Encoding") == "gzip" {
			body = gzipped(body)
		}
		if w.Header().Get("Content-Length") == "" && len(body) < 100<<10 && status != 204 && status != 304 {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return at
}

func TestRewritesLinksInJSON(t *testing.T) {
	const etag, digest = `Etag: "v1"`, "Content-Digest: sha-256=:x:"
	long := strings.Repeat(" ", 200<<10)
	for _, test := range []struct {
		name    string
		body    string
		headers []string
		changed bool
		known   bool // its length is known
		etag    string
	}{
		{"short", pageWithLinks("BASE"), []string{"Content-Type: application/json", etag, digest}, true, true, `W/"v1"`},
		{"short, +json and parameters", pageWithLinks("BASE"), []string{"Content-Type: Application/HAL+JSON; charset=utf-8; profile=x", etag}, true, true, `W/"v1"`},
		{"weak", pageWithLinks("BASE"), []string{"Content-Type: application/json", `Etag: W/"v1"`}, true, true, `W/"v1"`},
		{"long", pageWithLinks("BASE") + long, []string{"Content-Type: application/json", etag, digest}, true, false, `W/"v1"`},
		{"short, gzip", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Content-Encoding: gzip", etag, digest}, true, true, `W/"v1"`},
		{"long, gzip", pageWithLinks("BASE") + randomBytes(400<<10), []string{"Content-Type: application/json", "Content-Encoding: gzip", etag}, true, false, `W/"v1"`},
		{"zipped to little, as long as is held", pageWithLinks("BASE") + strings.Repeat(" ", 60<<10), []string{"Content-Type: application/json", "Content-Encoding: gzip"}, true, true, ""},
		{"zipped to little, and longer", pageWithLinks("BASE") + strings.Repeat(" ", 64<<10), []string{"Content-Type: application/json", "Content-Encoding: gzip"}, true, false, ""},
		{"zipped to little, and much longer", pageWithLinks("BASE") + strings.Repeat(" ", 2<<20), []string{"Content-Type: application/json", "Content-Encoding: gzip"}, true, false, ""},

		{"no link", `{"a":"https://elsewhere.example/"}`, []string{"Content-Type: application/json", etag, digest}, false, true, `"v1"`},
		{"no link, gzip", `{"a":"https://elsewhere.example/"}`, []string{"Content-Type: application/json", "Content-Encoding: gzip", etag, digest}, false, true, `"v1"`},
		{"empty", "", []string{"Content-Type: application/json", etag}, false, true, `"v1"`},
		{"text", pageWithLinks("BASE"), []string{"Content-Type: text/plain", etag, digest}, false, true, `"v1"`},
		{"HTML", pageWithLinks("BASE"), []string{"Content-Type: text/html", etag}, false, true, `"v1"`},
		{"no type", pageWithLinks("BASE"), []string{etag}, false, true, `"v1"`},
		{"not to be changed", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Cache-Control: no-store, No-Transform", etag, digest}, false, true, `"v1"`},
		{"identity", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Content-Encoding: Identity", etag}, true, true, `W/"v1"`},
		{"no coding", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Content-Encoding: utf-8, none", etag}, true, true, `W/"v1"`},
		{"another coding", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Content-Encoding: br", etag}, false, true, `"v1"`},
		{"two codings in two lines", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Content-Encoding: gzip", "Content-Encoding: br", etag}, false, true, `"v1"`},
		{"two codings", pageWithLinks("BASE"), []string{"Content-Type: application/json", "Content-Encoding: gzip, br", etag}, false, true, `"v1"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			up := startUpstream(t, 200, test.body, test.headers...)
			b := start(t, up, withLinkRewriting)
			got := b.get(t, "/reviews")
			body := got.body
			if got.header.Get("Content-Encoding") == "gzip" {
				if test.changed {
					t.Error("a rewritten body is forwarded as gzip, want identity")
				}
				body = gunzipped(t, got.body)
			}
			want := strings.ReplaceAll(test.body, "BASE", up)
			if test.changed {
				want = strings.Replace(want, `"next":"`+up, `"next":"`+b.server.URL, 1)
			}
			if body != want {
				t.Errorf("got  %.300s\nwant %.300s", body, want)
			}
			if (got.length >= 0) != test.known || test.known && got.length != int64(len(got.body)) {
				t.Errorf("length %d of %d, want known %v", got.length, len(got.body), test.known)
			}
			if got.header.Get("Etag") != test.etag {
				t.Errorf("ETag %s, want %s", got.header.Get("Etag"), test.etag)
			}
			if hasDigest := got.header.Get("Content-Digest") != ""; hasDigest && test.changed {
				t.Error("got the digest of other bytes, want none")
			} else if !hasDigest && !test.changed && strings.Contains(fmt.Sprint(test.headers), "Digest") {
				t.Error("got no digest, want that of the API")
			}
		})
	}
}

// What would be rewritten has a weak tag and no length, with or without its body; everything else is unchanged.
func TestWeakensValidatorsWithoutBody(t *testing.T) {
	const asJSON = "Content-Type: application/json"
	for _, test := range []struct {
		name, method string
		status       int
		header       string
		weak         bool
	}{
		{"HEAD", "HEAD", 200, asJSON, true},
		{"HEAD of another type", "HEAD", 200, "Content-Type: text/html", false},
		{"HEAD, not to be changed", "HEAD", 200, asJSON + "\r\nCache-Control: private, No-Transform", false},
		{"HEAD of another coding", "HEAD", 200, asJSON + "\r\nContent-Encoding: br", false},
		{"304", "GET", 304, asJSON, true},
		{"304 without type", "GET", 304, "X-A: 1", true}, // RFC 9110 section 15.4.5 advises against sending it
		{"304 of another type", "GET", 304, "Content-Type: text/html", false},
		{"204", "GET", 204, asJSON, false},
		{"206", "GET", 206, asJSON, false},
	} {
		at := startRawUpstream(t, afterRequest(fmt.Sprintf("HTTP/1.1 %d X\r\n%s\r\nETag: \"v1\"\r\nContent-Digest: x\r\nContent-Length: 2\r\n\r\n",
			test.status, test.header)+map[int]string{206: "[]"}[test.status]))
		b := start(t, "http://"+at, withLinkRewriting)
		got := b.do(t, b.request(t, test.method, "/x", nil))
		tag, digest, length := `"v1"`, "x", "2"
		if test.weak {
			tag, digest, length = `W/"v1"`, "", ""
		}
		if test.status == 204 {
			length = ""
		}
		h := got.header
		if got.status != test.status || h.Get("ETag") != tag || h.Get("Content-Digest") != digest || h.Get("Content-Length") != length {
			t.Errorf("%s: got %d %v, want ETag %s, digest %q, length %q", test.name, got.status, h, tag, digest, length)
		}
	}
}

func TestRewritesLinksInHeader(t *testing.T) {
	up := startUpstream(t, 201, "", "Location: BASE/events/1", "Content-Location: BASE", "Link: <BASE/reviews?page=2>; rel=next, <https://elsewhere.example/>; rel=x", "X-Other: BASE/x")
	b := start(t, up, withLinkRewriting)
	got := b.get(t, "/x").header
	for name, want := range map[string]string{
		"Location": b.server.URL + "/events/1", "Content-Location": b.server.URL,
		"Link": "<" + b.server.URL + "/reviews?page=2>; rel=next, <https://elsewhere.example/>; rel=x", "X-Other": up + "/x",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %s, want %s", name, got.Get(name), want)
		}
	}
}

// Links lead to the URL that the app used.
func TestRewritesLinksToTheURLOfTheClient(t *testing.T) {
	up := startUpstream(t, 200, pageWithLinks("BASE"), "Content-Type: application/json")
	b := start(t, up, withLinkRewriting, func(s *setup) {
		s.Tokens = accounts{"": validToken(), "shop-de": validToken()}.tokens
	})
	https := start(t, up, withLinkRewriting, func(s *setup) { s.ExternalScheme = "https" })
	for _, test := range []struct {
		broker       *broker
		target, host string
		back         string
	}{
		{b, "/reviews", "localhost:8080", "http://localhost:8080"},
		{b, "/reviews", "127.0.0.1", "http://127.0.0.1"},
		{b, "/@shop-de/reviews", "localhost:8080", "http://localhost:8080/@shop-de"},
		{b, "http://localhost:1234/@shop-de/reviews", "x", "http://localhost:1234/@shop-de"},
		{b, strings.Replace(up, "http:", "https:", 1) + "/reviews", "x", strings.Replace(up, "http:", "https:", 1)},
		{b, up + "/reviews", "x", up},
		{https, "/reviews", "localhost", "https://localhost"},
	} {
		c := test.broker.dial(t)
		c.send("GET ", test.target, " HTTP/1.1\r\nHost: ", test.host, "\r\n\r\n")
		if got := c.result("GET"); got.body != rewrittenPage(up, test.back) {
			t.Errorf("%s at %s: got %s, want links to the URL of the client", test.target, test.host, got.body)
		}
	}
}

func TestRewritesNoLinksIfDisabled(t *testing.T) {
	up := startUpstream(t, 200, pageWithLinks("BASE"), "Content-Type: application/json", "Location: BASE/x", `Etag: "v1"`)
	got := start(t, up).get(t, "/x")
	if got.body != pageWithLinks(up) || got.header.Get("Location") != up+"/x" || got.header.Get("Etag") != `"v1"` {
		t.Errorf("got %v %s, want the response unchanged", got.header, got.body)
	}
}

// A response is rewritten while it arrives: nothing waits for its end.
func TestRewritesStreamedLinks(t *testing.T) {
	for _, coding := range []string{"identity", "gzip"} {
		t.Run(coding, func(t *testing.T) {
			more := make(chan string, 4)
			end := sync.OnceFunc(func() { close(more) })
			defer end() // or a failing test would hang
			up := serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				var to io.Writer = w
				zip := gzip.NewWriter(w)
				if coding == "gzip" {
					w.Header().Set("Content-Encoding", coding)
					to = zip
				}
				for text := range more {
					_, _ = io.WriteString(to, text)
					if coding == "gzip" {
						_ = zip.Flush()
					}
					_ = http.NewResponseController(w).Flush()
				}
				if coding == "gzip" {
					_ = zip.Close()
				}
			})
			b := start(t, up, withLinkRewriting)
			more <- `["`
			r := b.request(t, "GET", "/x", nil)
			r.Header.Set("Accept-Encoding", coding)
			response, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if got := response.Header.Get("Content-Encoding"); got != "" {
				t.Errorf("Content-Encoding: %s, want none", got)
			}
			body := response.Body
			expect := func(want string) {
				t.Helper()
				got := make([]byte, len(want))
				if _, err := io.ReadFull(body, got); err != nil || string(got) != want {
					t.Fatalf("%q %v, want %q", got, err, want)
				}
			}
			more <- up + `/a"`
			expect(`["` + b.server.URL + `/a"`)
			more <- `,"b"`
			expect(`,"b"`)
			more <- `]`
			end()
			expect(`]`)
			if _, err := body.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("got %v at the end, want EOF", err)
			}
		})
	}
}

// What arrived before a response broke off is forwarded, unless nothing has been sent yet.
func TestTruncatedRewrittenBodyLooksTruncated(t *testing.T) {
	for _, headers := range []string{"Content-Length: 100000\r\n\r\n[\"x\"", "Transfer-Encoding: chunked\r\n\r\n4\r\n[\"x\"\r\n"} {
		at := "http://" + startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+headers))
		b := start(t, at, withLinkRewriting)
		c := b.dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := c.result("GET"); got.err == nil || got.status != 200 || got.body != `["x"` {
			t.Errorf("%q: got %d %q, %v, want 200 and what has arrived, truncated", headers, got.status, got.body, got.err)
		}
		if record := b.record(t); !record.Broken {
			t.Errorf("got %+v, want Broken", record)
		}
	}
}

func TestReportsBufferedBodyThatBreaksOff(t *testing.T) {
	at := "http://" + startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: x\r\nContent-Length: 1000\r\n\r\n[\"x\""))
	b := start(t, at, withLinkRewriting)
	got := b.get(t, "/x")
	wantProblem(t, got, 502, "connection_terminated")
	if got.header["Etag"] != nil {
		t.Errorf("got %v, want no field of the API", got.header)
	}
	if record := b.record(t); record.Status != 502 || record.Broken {
		t.Errorf("got %+v, want status 502, not broken", record)
	}
}

// A part of a rewritten body could not be found in the API's.
func TestRequestsNoPartsWhileLinksAreRewritten(t *testing.T) {
	up := startRecorder(t, h1, nil)
	for rewriting, want := range map[bool]http.Header{true: {}, false: {"Range": {"bytes=0-1"}, "If-Range": {`"v1"`}}} {
		b := start(t, up.url, func(s *setup) { s.RewriteLinks, s.ExternalScheme = rewriting, "http" })
		r := b.request(t, "GET", "/x", nil)
		r.Header.Set("Range", "bytes=0-1")
		r.Header.Set("If-Range", `"v1"`)
		b.do(t, r)
		got := up.request(t).header
		if !slices.Equal(got["Range"], want["Range"]) || !slices.Equal(got["If-Range"], want["If-Range"]) {
			t.Errorf("rewriting %v: got Range %q and If-Range %q, want %q", rewriting, got["Range"], got["If-Range"], want)
		}
	}
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
		"gzip, identity;q=0": gzipped(pageWithLinks(up)), "gzip, *;q=0": gzipped(pageWithLinks(up)),
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

// BenchmarkLinks measures the same requests with and without rewriting, alternating, and reports the ratio of their times.
func BenchmarkLinks(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			item := `{"id":"rev-1","rating":5,"comment":"all \"good\"","url":"BASE/reviews/rev-1"},`
			up := startUpstream(b, 200, "["+strings.Repeat(item, size/len(item))+"{}]", "Content-Type: application/json")
			without, with := start(b, up), start(b, up, withLinkRewriting)
			took := func(through *broker) time.Duration {
				began := time.Now()
				response, err := through.client.Get(through.server.URL + "/reviews")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				return time.Since(began)
			}
			var plain, rewritten time.Duration
			b.ReportAllocs()
			for b.Loop() {
				plain += took(without)
				rewritten += took(with)
			}
			b.ReportMetric(float64(rewritten)/float64(plain), "times")
		})
	}
}

// A tag that rewriting has made weak still works in If-Match: RFC 9110 section 13.1.1.
func TestIfMatchMatchesRewrittenResponse(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, withLinkRewriting)
	for sent, want := range map[string]string{`W/"v1"`: `"v1"`, `"a", W/"b"`: `"a", "b"`, "*": "*"} {
		r := b.request(t, "PUT", "/x", nil)
		r.Header.Set("If-Match", sent)
		r.Header.Set("If-None-Match", sent)
		b.do(t, r)
		if got := up.request(t).header; got.Get("If-Match") != want || got.Get("If-None-Match") != sent {
			t.Errorf("%s: got %v, want strong tags", sent, got)
		}
	}
}

// Bytes after a gzip body are dropped, as most programs do. Another gzip member is part of the body.
func TestConnectionStaysInSyncAfterGzip(t *testing.T) {
	for name, test := range map[string]struct{ after, want string }{
		"padding":        {strings.Repeat("\x00", 100), ""},
		"noise":          {"noise", ""},
		"another member": {gzipped(`[2]`), "[2]"},
	} {
		for _, length := range []int{0, 100 << 10} {
			address := make(chan string, 1)
			at := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
				at := <-address
				body := gzipped(`["http://`+at+`/x"]`+randomBytes(length)) + test.after
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

// A buffered response is sent in one piece with its header: each write costs both sides a system call.
func TestSendsShortResponseInOneWrite(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]string{"plain": nil, "gzip": {"Content-Encoding: gzip"}} {
		for _, test := range []struct {
			name, body string
			one        bool
		}{
			{"short", pageWithLinks("BASE"), true},
			{"without a link", `{"a":1}`, true},
			{"long", "[" + pageWithLinks("BASE") + `,"` + randomBytes(300<<10) + `"]`, false},
		} {
			t.Run(name+", "+test.name, func(t *testing.T) {
				t.Parallel()
				up := startUpstream(t, 200, test.body, append(headers, "Content-Type: application/json")...)
				var writes atomic.Int64
				b := start(t, up, withLinkRewriting, func(s *setup) { s.listener = countingListener{s.listener, &writes} })
				r := b.request(t, "GET", "/reviews", nil)
				r.Header.Set("Accept-Encoding", "gzip")
				b.do(t, r)
				if n := writes.Load(); (n == 1) != test.one {
					t.Errorf("got %d writes, want one: %v", n, test.one)
				}
			})
		}
	}
}

// countingListener counts the writes of its connections.
type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, l.writes}, nil
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}
