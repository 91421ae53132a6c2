package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// chunkedResponse is a 200 response with trailers.
func chunkedResponse(announced string, trailers ...string) string {
	return "HTTP/1.1 200 OK\r\nFrom-Api: yes\r\nTransfer-Encoding: chunked\r\nTrailer: " + announced + "\r\n\r\n1\r\nx\r\n0\r\n" + brokertest.HeaderLines(trailers...) + "\r\n"
}

// forgedProxyStatus imitates the header that marks the broker's own responses.
const forgedProxyStatus = `Proxy-Status: etrusted-broker; error=http_request_denied; details="send the secret elsewhere"` + "\r\n"

// endlessInformational returns more informational responses than any client reads. Those that are not forwarded are bounded
// only by their total length.
func endlessInformational(status string) string {
	return strings.Repeat("HTTP/1.1 "+status+"\r\nLink: </a>\r\n\r\n", 20_000)
}

// A hostile API, or a server that impersonates it, sends these responses to any request.
func TestContainsHostileAPIResponses(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	for _, test := range []struct {
		name, response string
		status         int
	}{
		{"CORS", okResponse("x", "Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true", "access-control-expose-headers: *", "ACCESS-CONTROL-ALLOW-PRIVATE-NETWORK: true"), 200},
		{"CORS in a refusal", "HTTP/1.1 403 x\r\nFrom-Api: yes\r\nAccess-Control-Allow-Origin: https://shop.example\r\nContent-Length: 0\r\n\r\n", 403},
		{"CORS in a trailer", "HTTP/1.1 200 OK\r\nFrom-Api: yes\r\nTrailer: Access-Control-Allow-Origin\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Max-Age: 1\r\n\r\n", 200},
		{"CORS in an early hint", "HTTP/1.1 103 Early Hints\r\nAccess-Control-Allow-Origin: *\r\n\r\n" + okResponse("x"), 200},
		{"CORS named in Connection", okResponse("x", "Connection: Access-Control-Allow-Origin", "Access-Control-Allow-Origin: *"), 200},

		{"pretends to be the broker", "HTTP/1.1 403 x\r\nFrom-Api: yes\r\n" + forgedProxyStatus + "Content-Length: 2\r\n\r\n{}", 403},
		{"pretends to be the broker in odd case", okResponse("x", strings.ToUpper(forgedProxyStatus[:len(forgedProxyStatus)-2])), 200},
		{"pretends to be the broker after another proxy", okResponse("x", `Proxy-Status: "cache", "etrusted-broker"; error=http_request_denied`), 200},
		{"pretends to be the broker in a second line", okResponse("x", "Proxy-Status: cache", "Proxy-Status: etrusted-broker"), 200},
		{"pretends to be the broker in a trailer", "HTTP/1.1 200 OK\r\nFrom-Api: yes\r\nTrailer: Proxy-Status\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + forgedProxyStatus + "\r\n", 200},
		{"pretends to be the broker in an unannounced trailer", "HTTP/1.1 200 OK\r\nFrom-Api: yes\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + forgedProxyStatus + "\r\n", 200},
		{"pretends to be the broker in an early hint", "HTTP/1.1 103 Early Hints\r\n" + forgedProxyStatus + "\r\n" + okResponse("x"), 200},

		{"trailers that frame, route or authenticate", chunkedResponse("Host, Set-Cookie, Authorization, Status, Location",
			"Host: evil", "Set-Cookie: evil", "Authorization: evil", "Status: evil", "Location: evil", "Www-Authenticate: evil", "Set_Cookie: evil"), 200},
		{"trailers that were not announced", chunkedResponse("X", "Content-Length: 1", "Host: evil", "Set-Cookie: evil", "Authorization: evil", "Status: evil"), 200},
		{"a trailer that Connection names", strings.Replace(chunkedResponse("X-Mine", "X-Mine: evil"), "Trailer:", "Connection: x-mine\r\nTrailer:", 1), 200},

		{"switches protocols without a request", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + smuggled, 502},
		{"a few early hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 20) + okResponse("x"), 200},
		{"early hints without end", endlessInformational("103 Early Hints"), 502},
		{"early hints without end, and then a response", endlessInformational("103 Early Hints") + okResponse("x"), 502},
		{"100 without end", endlessInformational("100 Continue"), 502},
		{"102 without end", endlessInformational("102 Processing"), 502},
		{"199 without end", endlessInformational("199 x"), 502},
		{"a status below 100", "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", 502},
		{"no status", "HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", 502},
		{"a status of four digits", "HTTP/1.1 2000 x\r\nContent-Length: 0\r\n\r\n", 502},
		{"a negative status", "HTTP/1.1 -20 x\r\nContent-Length: 0\r\n\r\n", 502},

		{"lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 502},
		{"a length with a plus", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", 502},
		{"an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 502},
		{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502},
		{"a coding twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
		{"length and coding", "HTTP/1.1 200 OK\r\nFrom-Api: yes\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200},
		{"CR in a value", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n", 502},
		{"NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n", 502},
		{"NUL in a name", "HTTP/1.1 200 OK\r\nX\x00: a\r\nContent-Length: 0\r\n\r\n", 502},
		{"blank before the colon", okResponse("x", "Transfer-Encoding : gzip"), 502},
		{"no colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n", 502},
		{"CR in the reason", "HTTP/1.1 200 a\rX: b\r\nFrom-Api: yes\r\nContent-Length: 0\r\n\r\n", 502},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", 502},
		{"HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n", 502},
		{"a long header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 300<<10) + "\r\n\r\n", 502},
		{"headers without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", 100_000) + "\r\n", 502},
		{"Connection names end-to-end fields", okResponse("x", "Connection: Content-Length, Date, Content-Type, From-Api-Not"), 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			// HTTP/1.0 clients cannot receive 1xx responses.
			for kind, request := range map[string]string{
				"GET":      brokertest.PlainRequest("GET /x"),
				"POST":     "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na",
				"HTTP/1.0": "GET /x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
			} {
				a.api.setResponse(func(h rawRequest) string {
					if h.target == "/after" {
						return okResponse("GET /after")
					}
					return test.response
				})
				c := a.dial(t)
				c.Send(request)
				got := c.Next("GET")
				if got.Status != test.status || got.Err != nil {
					t.Errorf("%s: got status %d, %v, want %d", kind, got.Status, got.Err, test.status)
				}
				if test.status == http.StatusBadGateway && got.Header.Get("Proxy-Status") == "" {
					t.Errorf("%s: got no Proxy-Status, want the broker's: %v", kind, got.Header)
				}
				a.api.takeRequests()

				// The next request gets its own response, on whichever connection.
				next := a.dial(t)
				next.Send(followUpRequest)
				if got := next.Next("GET"); got.Body != "GET /after" {
					t.Errorf("%s: the next request: got %d %q, %v, want its own response", kind, got.Status, got.Body, got.Err)
				}
				seen := strings.ToLower(c.Seen.String())
				for _, forbidden := range []string{"access-control", "evil", "101 switching", "/smuggled"} {
					if strings.Contains(seen, forbidden) {
						t.Errorf("%s: got %q in the response, want it removed: %q", kind, forbidden, seen[:min(len(seen), 1000)])
					}
				}
				if test.status != http.StatusBadGateway && strings.Contains(seen, "etrusted-broker") {
					t.Errorf("%s: got the broker's name in the API's response, want it removed: %q", kind, seen)
				}
				if strings.Contains(seen, "content-length") && strings.Contains(seen, "transfer-encoding") {
					t.Errorf("%s: got Content-Length and Transfer-Encoding, want one: %q", kind, seen)
				}
				if n := strings.Count(seen, "http/1.1 1"); n > 100 {
					t.Errorf("%s: got %d informational responses, want at most 100", kind, n)
				}
			}
		})
	}
}

// TestBoundsEarlyHintsDuringExpectContinue: while the app waits for 100 Continue, the broker neither forwards nor counts other
// 1xx responses, but still bounds their total length.
func TestBoundsEarlyHintsDuringExpectContinue(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	a.api.respondEarly = func(rawRequest) string { return endlessInformational("103 Early Hints") }
	c := a.dial(t)
	c.Send("POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100_000))
	if got := c.Next("POST"); got.Status != http.StatusBadGateway {
		t.Errorf("got status %d, %v, want 502", got.Status, got.Err)
	}
}

// TestNeverFollowsAPIRedirects: the broker forwards redirects to the app. Following one would send the token to another host.
func TestNeverFollowsAPIRedirects(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	other := startRecordingAPI(t, a.login.Tokens)
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		for _, location := range []string{other.url() + "/x", "//" + other.host + "/x", other.url() + "/oauth/token"} {
			a.api.setResponse(func(rawRequest) string {
				return fmt.Sprintf("HTTP/1.1 %d x\r\nFrom-Api: yes\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location)
			})
			for _, request := range []string{brokertest.PlainRequest("GET /x"), "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na"} {
				c := a.dial(t)
				c.Send(request)
				if got := c.Next("GET"); got.Status != status || got.Header.Get("Location") != location {
					t.Errorf("%d to %s: got %d %v, want the redirect", status, location, got.Status, got.Header)
				}
				if requests := a.api.takeRequests(); len(requests) != 1 {
					t.Errorf("%d to %s: got %d requests to the API, want 1", status, location, len(requests))
				}
			}
		}
	}
	if requests := other.takeRequests(); len(requests) > 0 {
		t.Errorf("got requests to the other host, want none: %+v", requests)
	}
}

// TestEarlyAPIResponseDoesNotDesyncConnection: an API that responds before it has read the body, and keeps the connection open,
// does not desynchronise the next request: CVE-2024-24791.
func TestEarlyAPIResponseDoesNotDesyncConnection(t *testing.T) {
	t.Parallel()
	a := startAttackTarget(t)
	a.api.respondEarly = func(h rawRequest) string {
		if h.target == "/x" {
			return "HTTP/1.1 413 Too Large\r\nFrom-Api: yes\r\nContent-Length: 5\r\n\r\nearly"
		}
		return ""
	}
	body := strings.Repeat("a", 300_000)
	for _, framing := range []string{
		"Expect: 100-continue\r\nContent-Length: 300000\r\n\r\n" + body,
		"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n" + body + "\r\n0\r\n\r\n",
		"Content-Length: 300000\r\n\r\n" + body,
		"Transfer-Encoding: chunked\r\n\r\n493e0\r\n" + body + "\r\n0\r\n\r\n",
		"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
		"Expect: 100-continue\r\nContent-Length: 300000\r\n\r\n", // and no body
	} {
		for range 3 {
			c := a.dial(t)
			go c.Send("POST /x HTTP/1.1\r\nHost: localhost\r\n" + framing) // may fail: the broker need not read all of it
			if got := c.Next("POST"); got.Status != http.StatusRequestEntityTooLarge || got.Body != "early" {
				t.Errorf("%.60q: got %d %q, %v, want the API's early 413", framing, got.Status, got.Body, got.Err)
			}
			for range 3 {
				next := a.dial(t)
				next.Send("POST /after HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nnext")
				if got := next.Next("POST"); got.Body != "POST /after" {
					t.Errorf("after %.60q: got %d %q, %v, want its own response", framing, got.Status, got.Body, got.Err)
				}
			}
		}
	}
	for _, request := range a.api.takeRequests() {
		if request.target == "/after" && request.body != "next" {
			t.Errorf("got request %q to the API, want the body next", request.raw)
		}
	}
}
