package proxy_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// chunked returns a chunked body with trailers, which the caller may announce.
func chunked(body string, trailers ...string) string {
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n%s\r\n", len(body), body, lines(trailers...))
}

func lines(lines ...string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

func TestSendsExactlyOneAuthorization(t *testing.T) {
	const post = "POST /x HTTP/1.1\r\nHost: localhost\r\n"
	requests := map[string]string{
		"none":                    "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"one":                     post + "Authorization: Bearer app\r\nContent-Length: 1\r\n\r\nx",
		"several":                 post + "Authorization: Bearer app\r\nauthorization: Basic app\r\nAUTHORIZATION:\r\nContent-Length: 1\r\n\r\nx",
		"empty":                   post + "Authorization:\r\nContent-Length: 0\r\n\r\n",
		"named in Connection":     post + "Connection: Authorization\r\nAuthorization: Bearer app\r\nContent-Length: 1\r\n\r\nx",
		"all named in Connection": post + "Connection: authorization, Via, Host, Content-Length, User-Agent\r\nVia: 1.1 app\r\nContent-Length: 1\r\n\r\nx",
		"Connection twice":        post + "Connection: close, AUTHORIZATION\r\nConnection:  ,authorization ,\r\nContent-Length: 1\r\n\r\nx",
		"announced trailer":       post + "Trailer: Authorization, X-A\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("x", "Authorization: Bearer app", "X-A: a"),
		"lower-case trailer":      post + "Trailer: authorization\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("x", "authorization: Bearer app", "proxy-authorization: x"),
		"unannounced trailer":     post + "Transfer-Encoding: chunked\r\n\r\n" + chunked("x", "Authorization: Bearer app"),
		"unannounced beside one":  post + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("x", "X-A: a", "Authorization: Bearer app", "X-Forwarded-For: 192.0.2.1"),
		"in other headers":        post + "Proxy-Authorization: Bearer app\r\nX-Forwarded-Authorization: Bearer app\r\nContent-Length: 1\r\n\r\nx",
	}
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		b := start(t, up.url)
		for name, request := range requests {
			t.Run(name, func(t *testing.T) {
				c := b.dial(t)
				c.send(request)
				if a := c.result("POST"); a.status != 200 {
					t.Fatalf("got %d %s, want 200", a.status, a.body)
				}
				got := up.request(t)
				if value := got.header["Authorization"]; !slices.Equal(value, []string{authorization}) {
					t.Errorf("got Authorization %q, want only the broker's", value)
				}
				if value := got.header["Via"]; !slices.Equal(value, []string{"1.1 etrusted-broker"}) {
					t.Errorf("got Via %q, want only the broker's", value)
				}
				if whole := fmt.Sprint(got.header, got.trailer); strings.Contains(whole, "app") || strings.Contains(whole, "192.0.2.1") {
					t.Errorf("got fields of the app upstream, want none: %s", whole)
				}
				if got.err != nil || strings.HasPrefix(request, "POST") && name != "empty" && got.body != "x" {
					t.Errorf("got body %q, %v, want x", got.body, got.err)
				}
			})
		}
	})
}

func TestForwardsRequestFields(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		c := start(t, up.url).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n", lines(
			"Accept: application/json", "Accept: text/plain;q=0.5", "Accept-Encoding: br;q=1, gzip;q=0.1", "Cookie: a=b", "Cookie: c=d",
			"If-None-Match: \"v1\"", "Range: bytes=0-1", "X-Empty:", "X-Latin: caf\xe9", "Content-Type: x/y", "Cache-Control: no-cache",
			"Referer: http://localhost/", "Max-Forwards: 3", "Idempotency-Key: k", "User-Agent: Java-http-client/17",
			// All fields from here on are for one connection only, or say who made the request.
			"Connection: keep-alive, X-Mine, x-also,, Te", "X-Mine: 1", "X-Also: 1", "Connection: X-Third", "X-Third: 1",
			"Proxy-Connection: keep-alive", "Keep-Alive: timeout=5", "Proxy-Authenticate: x", "Proxy-Authorization: Basic x",
			"TE: gzip", "Trailer: X-A", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
			"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "x-forwarded-host: evil", "X-Forwarded-Proto: https", "X-FORWARDED-ANYTHING: 1",
			"X-Real-IP: 192.0.2.1", "Client-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1", "X_Real_IP: 192.0.2.1", "true_client_ip: 192.0.2.1", "Connection: X-Fourth", "X_fourth: 1",
		), "\r\n")
		if a := c.result("GET"); a.status != 200 {
			t.Fatalf("got %d %s, want 200", a.status, a.body)
		}
		want := http.Header{
			"Accept": {"application/json", "text/plain;q=0.5"}, "Accept-Encoding": {"br;q=1, gzip;q=0.1"},
			"Cookie": {"a=b", "c=d"}, "If-None-Match": {`"v1"`}, "Range": {"bytes=0-1"}, "X-Empty": {""}, "X-Latin": {"caf\xe9"},
			"Content-Type": {"x/y"}, "Cache-Control": {"no-cache"}, "Referer": {"http://localhost/"}, "Max-Forwards": {"3"},
			"Idempotency-Key": {"k"}, "User-Agent": {"Java-http-client/17"},
			"Authorization": {authorization}, "Via": {"1.1 etrusted-broker"},
		}
		got := up.request(t).header
		if kind == h2 { // net/http's server joins cookies: RFC 9113 section 8.2.3
			want["Cookie"] = []string{"a=b; c=d"}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("upstream got %v\nwant %v", got, want)
		}
	})
}

func TestAddsNoOtherFields(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		c := start(t, up.url).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		c.result("GET")
		want := http.Header{"Authorization": {authorization}, "Via": {"1.1 etrusted-broker"}}
		if got := up.request(t); !reflect.DeepEqual(got.header, want) || got.length != 0 || got.chunked {
			t.Errorf("got %+v upstream, want no other fields", got)
		}
	})
}

func TestForwardsTETrailers(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		c := start(t, up.url).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: TE\r\nTE: gzip, Trailers;q=0.5\r\n\r\n")
		c.result("GET")
		if got := up.request(t).header["Te"]; !slices.Equal(got, []string{"trailers"}) {
			t.Errorf("got TE %q, want trailers", got)
		}
	})
}

func TestAppendsVia(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, nil)
		c := start(t, up.url).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nVia: 1.0 fred\r\nVia: 1.1 p.example (etrusted-broker)\r\n\r\n")
		c.result("GET")
		want := "1.0 fred, 1.1 p.example (etrusted-broker), 1.1 etrusted-broker"
		if got := strings.Join(up.request(t).header["Via"], ", "); got != want {
			t.Errorf("got Via %q, want the broker's appended", got)
		}
	})
}

func TestDetectsLoop(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url)
	for value, loop := range map[string]bool{
		"1.1 etrusted-broker": true, "1.0 fred, 1.1 etrusted-broker": true, "1.1 etrusted-broker, 1.1 later": true,
		"1.1 ETRUSTED-Broker": true, "HTTP/1.1 \t etrusted-broker (comment)": true, " ,1.1 etrusted-broker": true,
		"2.0 etrusted-broker": true, "1.0 a\r\nVia: 1.1 etrusted-broker": true,
		"1.1 etrusted-broker\r\nConnection: Via": true,
		"1.1 etrusted-broker2":                   false, "1.1 my-etrusted-broker": false, "1.1 etrusted-broker.example": false,
		"1.1 fred (etrusted-broker)": false, "etrusted-broker": false, "1.1 etrusted-brokers, 1.1 etrusted": false, "": false,
	} {
		t.Run(value, func(t *testing.T) {
			c := b.dial(t)
			c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nVia: ", value, "\r\n\r\n")
			a := c.result("GET")
			if !loop {
				if a.status != 200 || len(up.requests()) != 1 {
					t.Errorf("got %d %s, want 200 and one request upstream", a.status, a.body)
				}
				return
			}
			wantProblem(t, a, 508, "proxy_loop_detected")
			if got := up.requests(); len(got) != 0 {
				t.Errorf("got %+v upstream, want nothing", got)
			}
		})
	}
}

// The broker is the upstream of another one.
func TestDetectsLoopThroughItself(t *testing.T) {
	inner := start(t, "http://api.example")
	b := start(t, inner.server.URL) // as with a wrong ETRUSTED_API_URL
	// To the first broker, this is a response of the API: it must not have a Proxy-Status that looks like its own.
	if got := b.get(t, "/x"); got.status != 508 || !strings.Contains(got.body, "ETRUSTED_API_URL") || got.header["Proxy-Status"] != nil {
		t.Errorf("got %d %v %s, want 508 with a hint, without Proxy-Status", got.status, got.header, got.body)
	}
}

// The API cannot make its responses look like the broker's.
func TestDropsForgedProxyStatus(t *testing.T) {
	for _, value := range []string{"etrusted-broker; error=x", "Etrusted-Broker", "cdn; error=x, etrusted-broker; error=y", `"etrusted-broker"`} {
		addr := startRawUpstream(t, afterRequest("HTTP/1.1 103 Early\r\nProxy-Status: "+value+"\r\n\r\nHTTP/1.1 403 x\r\nProxy-Status: cdn\r\nProxy-Status: "+value+
			"\r\nTrailer: Proxy-Status\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nProxy-Status: "+value+"\r\n\r\n"))
		c := start(t, "http://"+addr).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: close\r\n\r\n")
		whole, err := io.ReadAll(c.Reader)
		if err != nil || !strings.Contains(string(whole), "403") || strings.Contains(strings.ToLower(string(whole)), "etrusted-broker") {
			t.Errorf("%s: got %q, %v, want it without the broker's name", value, whole, err)
		}
	}
	up := serve(t, h1, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Proxy-Status", "cdn; hit") })
	if got := start(t, up).get(t, "/x").header.Get("Proxy-Status"); got != "cdn; hit" {
		t.Errorf("got Proxy-Status %q, want that of the other gateway", got)
	}
}

func TestForwardsResponseFields(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := serve(t, kind, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Set-Cookie"] = []string{"a=b; Path=/", "c=d; HttpOnly"}
			h["Etag"] = []string{`W/"v1"`}
			h["Last-Modified"] = []string{"Mon, 02 Jan 2006 15:04:05 GMT"}
			h["Date"] = []string{"Mon, 02 Jan 2006 15:04:06 GMT"}
			h["Cache-Control"] = []string{"no-store"}
			h["Link"] = []string{"</a>; rel=next", "</b>; rel=prev"}
			h["Vary"] = []string{"Origin"}
			h["Via"] = []string{"1.1 edge"}
			h["Server"] = []string{"edge"}
			h["Www-Authenticate"] = []string{"Bearer"}
			h["X-Empty"] = []string{""}
			h["X-Forwarded-For"] = []string{"kept: it is no header of a response"}
			h["Content-Type"] = []string{"application/json; charset=utf-8"}
			for _, name := range []string{"Allow-Origin", "Allow-Credentials", "Allow-Headers", "Allow-Methods", "Expose-Headers", "Max-Age", "Allow-Private-Network"} {
				h["Access-Control-"+name] = []string{"*"}
			}
			h["Strict-Transport-Security"] = []string{"max-age=31536000"}
			h["Alt-Svc"] = []string{`h3=":443"`}
			if kind != h2 { // which has none of these
				h["Connection"] = []string{"keep-alive, X-Mine"}
				h["X-Mine"] = []string{"1"}
				h["Proxy-Connection"] = []string{"keep-alive"}
				h["Keep-Alive"] = []string{"timeout=5"}
				h["Proxy-Authenticate"] = []string{"Basic"}
				h["Upgrade"] = []string{"h2c"}
			}
			_, _ = w.Write([]byte("{}"))
		})
		a := start(t, up).get(t, "/x")
		want := http.Header{
			"Set-Cookie": {"a=b; Path=/", "c=d; HttpOnly"}, "Etag": {`W/"v1"`}, "Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"},
			"Date": {"Mon, 02 Jan 2006 15:04:06 GMT"}, "Cache-Control": {"no-store"}, "Link": {"</a>; rel=next", "</b>; rel=prev"},
			"Vary": {"Origin"}, "Via": {"1.1 edge"}, "Server": {"edge"}, "Www-Authenticate": {"Bearer"}, "X-Empty": {""},
			"X-Forwarded-For": {"kept: it is no header of a response"}, "Content-Type": {"application/json; charset=utf-8"},
			"Content-Length": {"2"},
		}
		if !reflect.DeepEqual(a.header, want) {
			t.Errorf("the app got %v\nwant %v", a.header, want)
		}
	})
}

func TestNeverGuessesTypeOrDecodesBody(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(strings.Repeat(`{"rating":5}`, 100)))
	_ = z.Close()
	forAllKinds(t, func(t *testing.T, kind string) {
		up := startRecorder(t, kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			if r.URL.Path == "/html" {
				_, _ = w.Write([]byte("<html>"))
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped.Bytes())
		})
		b := start(t, up.url)

		a := b.get(t, "/html")
		if value, found := a.header["Content-Type"]; found {
			t.Errorf("got Content-Type %q, want none", value)
		}
		up.requests()

		// The app did not request gzip, so the broker must not either. A coded response is still forwarded unchanged.
		a = b.get(t, "/gzip")
		if _, found := up.request(t).header["Accept-Encoding"]; found {
			t.Error("got Accept-Encoding upstream, want none")
		}
		if a.body != zipped.String() || a.length != int64(zipped.Len()) || a.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("Content-Encoding %q, length %d, want %d", a.header.Get("Content-Encoding"), a.length, zipped.Len())
		}
	})
}

func TestForwardsUpstreamErrorsUnchanged(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 409, 421, 429, 500, 502, 503, 504, 508, 599} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			up := serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				w.Header().Set("Retry-After", "7")
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(`{"message":"no"}`))
			})
			b := start(t, up)
			a := b.get(t, "/x")
			wantFromAPI(t, a)
			if a.status != status || a.body != `{"message":"no"}` || a.header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` || a.header.Get("Retry-After") != "7" {
				t.Errorf("got %d %v %s, want the response of the API", a.status, a.header, a.body)
			}
			if got := b.record(t); got.Status != status || got.ProxyError != "" {
				t.Errorf("got %+v, want the status of the API and no problem", got)
			}
		})
	}
}

func TestForwardsRedirects(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		elsewhere := startRecorder(t, h1, nil)
		for _, status := range []int{300, 301, 302, 303, 307, 308} {
			up := startRecorder(t, kind, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.url+"/there?a=b")
				w.WriteHeader(status)
			})
			b := start(t, up.url)
			a := b.do(t, b.request(t, "POST", "/x", strings.NewReader("body")))
			if a.status != status || a.header.Get("Location") != elsewhere.url+"/there?a=b" {
				t.Errorf("%d: got %d %v, want the redirect of the API", status, a.status, a.header)
			}
			wantFromAPI(t, a)
			up.request(t)
		}
		if got := elsewhere.requests(); len(got) != 0 {
			t.Errorf("got %+v at the target of the redirect, want nothing", got)
		}
	})
}
