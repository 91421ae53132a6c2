package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

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
