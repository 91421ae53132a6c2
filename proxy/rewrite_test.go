package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// withLinkRewriting rewrites the links in responses.
func withLinkRewriting(s *setup) { s.RewriteLinks, s.ExternalScheme = true, "http" }

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
			body = brokertest.Gzipped(body)
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

// A digest in the trailer is as false for a rewritten body as one in the header.
func TestRewrittenBodyLosesDigestTrailers(t *testing.T) {
	for contentType, kept := range map[string]bool{"application/json": false, "text/plain": true} {
		up := "http://" + startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: "+contentType+"\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Digest, X-Sum\r\n\r\n"+
					chunked(pageWithLinks("http://"+c.LocalAddr().String()), "Content-Digest: sha-256=:x:", "X-Sum: 1"))
			}
		})
		got := start(t, up, withLinkRewriting).get(t, "/reviews")
		if got.trailer.Get("X-Sum") != "1" || (got.trailer.Get("Content-Digest") != "") != kept {
			t.Errorf("%s: got the trailer %v, want X-Sum, and Content-Digest: %v", contentType, got.trailer, kept)
		}
	}
}
