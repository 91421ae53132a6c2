package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// long is 300 kB without repeated parts, so that a lost or duplicated part shows.
var long = func() string {
	var b bytes.Buffer
	for i := uint32(1); b.Len() < 300_000; i = i*1664525 + 1013904223 {
		b.WriteByte(byte(i >> 24))
	}
	return b.String()
}()

func TestForwardsRequestBodies(t *testing.T) {
	unknownLength := func(body string) io.Reader { return io.MultiReader(strings.NewReader(body)) }
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		b := start(t, up.url)
		for _, test := range []struct {
			name, method string
			body         io.Reader
			want         string
			length       int64 // at the upstream; -1 if unknown
		}{
			{"long", "POST", strings.NewReader(long), long, int64(len(long))},
			{"long, chunked", "POST", unknownLength(long), long, -1},
			{"short, chunked", "PUT", unknownLength("x"), "x", -1},
			{"empty", "POST", http.NoBody, "", 0},
			{"GET with one", "GET", strings.NewReader("query"), "query", 5},
			{"GET with one, chunked", "GET", unknownLength("query"), "query", -1},
			{"DELETE with one", "DELETE", strings.NewReader("x"), "x", 1},
			{"DELETE without", "DELETE", nil, "", 0},
			{"PATCH", "PATCH", strings.NewReader("{}"), "{}", 2},
			{"any bytes", "POST", strings.NewReader("\x00\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"), "\x00\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", 34},
		} {
			t.Run(test.name, func(t *testing.T) {
				if a := b.do(t, b.request(t, test.method, "/x", test.body)); a.status != 200 {
					t.Fatalf("got %d %s, want 200", a.status, a.body)
				}
				got := up.request(t)
				if got.body != test.want || got.err != nil || got.method != test.method {
					t.Errorf("upstream got %s and %d bytes, want %d; %v", got.method, len(got.body), len(test.want), got.err)
				}
				if got.length != test.length {
					t.Errorf("length %d, want %d", got.length, test.length)
				}
				if kind != h2 && got.chunked != (test.length < 0) {
					t.Errorf("got chunked %v, want the opposite", got.chunked)
				}
			})
		}
	})
}

// A server may refuse a POST without Content-Length (411), so an empty one must keep it.
func TestEmptyPostHasContentLength(t *testing.T) {
	up := startRecorder(t, h1, nil)
	c := start(t, up.url).dial(t)
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		c.send(method, " /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		c.result(method)
		if got := up.request(t); got.header.Get("Content-Length") != "0" || got.chunked {
			t.Errorf("%s: got %+v, want Content-Length: 0", method, got)
		}
	}
	c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	c.result("POST")
	if got := up.request(t); got.body != "" || got.err != nil {
		t.Errorf("got %+v, want an empty body", got)
	}
}

func TestForwardsResponseBodies(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"v1"`)
			switch r.URL.Path {
			case "/204":
				w.WriteHeader(http.StatusNoContent)
			case "/304":
				w.WriteHeader(http.StatusNotModified)
			case "/empty":
			case "/short":
				_, _ = io.WriteString(w, "short")
			case "/known":
				w.Header().Set("Content-Length", "300000")
				_, _ = io.WriteString(w, long)
			case "/head":
				w.Header().Set("Content-Length", "300000")
			case "/chunked":
				_ = http.NewResponseController(w).Flush()
				_, _ = io.WriteString(w, long)
			case "/chunked-empty":
				_ = http.NewResponseController(w).Flush()
			case "/chunked-short":
				_ = http.NewResponseController(w).Flush()
				_, _ = io.WriteString(w, "short")
			}
		})
		b := start(t, up.url)
		for _, test := range []struct {
			method, path string
			status       int
			body         string
			length       int64 // -1 if unknown
		}{
			{"GET", "/204", 204, "", 0},
			{"DELETE", "/204", 204, "", 0},
			{"GET", "/304", 304, "", 0},
			{"GET", "/empty", 200, "", 0},
			{"GET", "/short", 200, "short", 5},
			{"GET", "/known", 200, long, 300000},
			{"GET", "/chunked", 200, long, -1},
			{"GET", "/chunked-empty", 200, "", -1},
			{"GET", "/chunked-short", 200, "short", -1},
			{"HEAD", "/head", 200, "", 300000},
			{"HEAD", "/chunked", 200, "", -1},
			{"HEAD", "/204", 204, "", -1},
			{"HEAD", "/304", 304, "", -1},
		} {
			t.Run(test.method+test.path, func(t *testing.T) {
				r := b.request(t, test.method, test.path, nil)
				r.Header.Set("If-None-Match", `"v1"`)
				a := b.do(t, r)
				if a.status != test.status || a.body != test.body || a.length != test.length || a.header.Get("ETag") != `"v1"` {
					t.Errorf("got %d, %d bytes, length %d, %v, want the response of the API", a.status, len(a.body), a.length, a.header)
				}
				wantFromAPI(t, a)
				if got := up.request(t); got.header.Get("If-None-Match") != `"v1"` {
					t.Errorf("got If-None-Match %q, want \"v1\"", got.header["If-None-Match"])
				}
				if got := b.record(t); got.Status != test.status || got.Broken || got.ProxyError != "" {
					t.Errorf("got %+v, want the status of the API and no problem", got)
				}
			})
		}
	})
}

// A body after HEAD, 204 or 304 would be taken for the next response.
func TestConnectionStaysInSyncAfterRefusals(t *testing.T) {
	up := startRecorder(t, h1, func(w http.ResponseWriter, r *http.Request) {
		if code, ok := map[string]int{"/204": 204, "/304": 304}[r.URL.Path]; ok {
			w.WriteHeader(code)
			return
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	c := start(t, up.url).dial(t)
	for _, request := range []string{"GET /a", "HEAD /b", "GET /204", "GET /c", "GET /304", "OPTIONS /d", "HEAD /204", "GET /e"} {
		c.send(request, " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		method, path, _ := strings.Cut(request, " ")
		want := path
		if method == "HEAD" || len(path) == 4 {
			want = ""
		}
		if a := c.result(method); a.body != want || a.err != nil {
			t.Errorf("%s: got %d %q %v, want the response to this request", request, a.status, a.body, a.err)
		}
	}
	if n := c.Reader.Buffered(); n != 0 {
		t.Errorf("got %d bytes after the last response, want none", n)
	}
}

// Several requests in one packet are served one after the other.
func TestAnswersPipelinedRequestsInOrder(t *testing.T) {
	up := startRecorder(t, h1, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	c := start(t, up.url).dial(t)
	c.send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
		"POST /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", chunked("def"),
		"GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for _, want := range []string{"/a", "/b", "/c"} {
		if a := c.result("GET"); a.body != want {
			t.Errorf("%q, want %q", a.body, want)
		}
	}
	got := up.requests()
	if len(got) != 3 || got[0].body != "abc" || got[1].body != "def" || got[2].body != "" {
		t.Errorf("got %+v, want three requests in order", got)
	}
}
