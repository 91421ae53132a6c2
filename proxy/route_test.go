package proxy_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"etrusted-broker/proxy/access"
)

func TestForwardsTargetByteForByte(t *testing.T) {
	targets := []string{
		"/", "/channels", "/a?", "/a??b", "/a?b?c", "/?", "/?q",
		"/a;b;c?d;e", "/a?x=%zz", "/a?%", "/a?x=%2", "/a%2fb", "/a%2Fb%2f", "/%41%7e~", "/a%20b?c+d%20e", "/a+b",
		"/{id}", "/a|b", "/[x]", "/a^b`c", "/a\"b'c<d>", "/a?{\"b\":[1|2]}'", "/a?\\", "/ä€😀?ö=ü", "/\xff\xfe?\x80",
		"/a#b", "/a?b#c", "/a:b", "/:", "/x/@y", "/a,b=c&d$e!f*(g)", "/http://elsewhere.example/", "/a//b", "/a/", "/a///",
		"//x", "///x", "//x?y", "//", "//a%2fb?%2f", "//{}", "//ä", "//a|b\"", "//elsewhere.example/x", "//user@elsewhere.example:80/x",
		"/...", "/.a/..b/c..", "/%2e%2ea", "/a?/../x", "/a?%2e%2e/%5c%00", "/a?%0d%0a", "/%80%c3%a4", "/%25", "/a%2f%2fb",
		"/a?" + strings.TrimSuffix(strings.Repeat("p=1&", 10000), "&"),
	}
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		c := start(t, up.url).dial(t)
		for _, target := range targets {
			if kind == h2 && strings.ContainsAny(target, "{|ä") && strings.HasPrefix(target, "//") {
				continue // net/http cannot send these
			}
			c.send("GET ", target, " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if a := c.result("GET"); a.status != 200 {
				t.Fatalf("%.80q: got %d %s, want 200", target, a.status, a.body)
			}
			if got := up.request(t); got.target != target || (got.proto == h2) != (kind == h2) {
				t.Errorf("sent %.80q: got %.80q by %s upstream, want the same bytes", target, got.target, got.proto)
			}
		}
	})
}

func TestAcceptsTargetFormsOfRFC9112(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		at, err := url.Parse(up.url)
		if err != nil {
			t.Fatal(err)
		}
		c := start(t, up.url).dial(t)
		for _, test := range []struct{ line, want string }{
			{"OPTIONS *", "*"},
			{"GET http://localhost/a?b", "/a?b"},
			{"GET http://localhost:8080//a%2fb;?{}%zz", "//a%2fb;?{}%zz"},
			{"GET http://localhost", "/"},
			{"GET http://localhost?", "/?"},
			{"GET http://localhost?a=http://x/", "/?a=http://x/"},
			{"GET http://localhost/http://x/", "/http://x/"},
			{"GET HTTP://LOCALHOST/A", "/A"},
			{"GET https://localhost/", "/"},
			{"GET http://" + at.Host + "/{x}", "/{x}"},
		} {
			// With an absolute-form target, the Host field is ignored: RFC 9112 section 3.2.2.
			host := "localhost"
			if strings.Contains(test.line, "://") {
				host = "elsewhere.example"
			}
			c.send(test.line, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n")
			method, _, _ := strings.Cut(test.line, " ")
			if a := c.result(method); a.status != 200 {
				t.Errorf("%s: got %d %s, want 200", test.line, a.status, a.body)
				continue
			}
			if got := up.request(t); got.target != test.want || got.method != method || got.host != at.Host {
				t.Errorf("%s: upstream got %s %s for %s, want %s", test.line, got.method, got.target, got.host, test.want)
			}
		}
	})
}

// A target that cannot be forwarded unchanged is refused, and never repaired.
func TestRefusesInvalidTarget(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url)
	for _, test := range []struct {
		target string
		ours   bool // otherwise the parser refuses it
	}{
		{"/%zz", false}, {"/%", false}, {"/a%2", false}, {"/a b", false}, {"a", false}, {"?a", false}, {"", false},
		{"/a\x00", false}, {"/a\x7f", false}, {"/a\tb", false}, {"*?a", false}, {"http://local host/", false},
		{"http://localhost:port/", false},
		{"ftp://localhost/a", true}, {"http://someone:secret@localhost/a", true}, {"https://@localhost/a", true}, {"http://localhost:80@localhost/", true},
		{"/?\x01", false},
		{"*", true}, {"http:a", true}, {"http:///a", true}, {"localhost:8080", true}, {"mailto:a@b", true},
	} {
		t.Run(fmt.Sprintf("%q", test.target), func(t *testing.T) {
			c := b.dial(t)
			c.send("GET ", test.target, " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			a := c.result("GET")
			if test.ours {
				wantProblem(t, a, 400, "http_request_error")
			} else if a.status != 400 {
				t.Errorf("got status %d, want 400", a.status)
			}
			if got := up.requests(); len(got) != 0 {
				t.Errorf("got %+v upstream, want nothing", got)
			}
		})
	}
}

// Paths that two servers could read differently are denied before anything else looks at the path.
func TestRefusesAmbiguousPath(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url)
	for _, target := range []string{"/..", "/%2e%2e/x?y", "http://localhost/a/../b", "/@unknown/%2E./x", "/a\\b", "/%00"} {
		c := b.dial(t)
		c.send("GET ", target, " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		wantProblem(t, c.result("GET"), 400, "http_request_denied")
		if got := b.record(t); got.Denied != access.ReasonPath {
			t.Errorf("%s: got %+v, want the reason path", target, got)
		}
	}
	if got := up.requests(); len(got) != 0 {
		t.Errorf("got %+v upstream, want nothing", got)
	}
}

func TestForwardsMethodUnchanged(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		b := start(t, up.url)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "get", "!#$%&'*+-.^_`|~9"} {
			c := b.dial(t)
			c.send(method, " /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if a := c.result(method); a.status != 200 {
				t.Errorf("%s: got %d %s, want 200", method, a.status, a.body)
			}
			if got := up.request(t); got.method != method {
				t.Errorf("sent %s: got %s upstream, want the same method", method, got.method)
			}
			if got := b.record(t); got.Method != method || got.Path != "/x" || got.Status != 200 || got.ProxyError != "" || got.Broken || got.Denied != "" {
				t.Errorf("got %+v, want the method and path of the request", got)
			}
		}
	})
}
