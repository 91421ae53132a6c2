package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// apiAttacks are answers of an API that means no good, or is not the one that it should be, to whatever is asked.
var apiAttacks = []struct {
	name, answer string
	status       int
}{
	{"CORS", told("x", "Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true", "access-control-expose-headers: *", "ACCESS-CONTROL-ALLOW-PRIVATE-NETWORK: true"), 200},
	{"CORS in a refusal", "HTTP/1.1 403 x\r\nFrom-Tape: yes\r\nAccess-Control-Allow-Origin: https://shop.example\r\nContent-Length: 0\r\n\r\n", 403},
	{"CORS in a trailer", "HTTP/1.1 200 OK\r\nFrom-Tape: yes\r\nTrailer: Access-Control-Allow-Origin\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Max-Age: 1\r\n\r\n", 200},
	{"CORS in an early hint", "HTTP/1.1 103 Early Hints\r\nAccess-Control-Allow-Origin: *\r\n\r\n" + told("x"), 200},
	{"CORS named in Connection", told("x", "Connection: Access-Control-Allow-Origin", "Access-Control-Allow-Origin: *"), 200},

	{"passes for the broker", "HTTP/1.1 403 x\r\nFrom-Tape: yes\r\n" + forged + "Content-Length: 2\r\n\r\n{}", 403},
	{"passes for the broker in odd case", told("x", strings.ToUpper(forged[:len(forged)-2])), 200},
	{"passes for the broker behind another", told("x", `Proxy-Status: "cache", "etrusted-broker"; error=http_request_denied`), 200},
	{"passes for the broker in a second line", told("x", "Proxy-Status: cache", "Proxy-Status: etrusted-broker"), 200},
	{"passes for the broker in a trailer", "HTTP/1.1 200 OK\r\nFrom-Tape: yes\r\nTrailer: Proxy-Status\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + forged + "\r\n", 200},
	{"passes for the broker in an unannounced trailer", "HTTP/1.1 200 OK\r\nFrom-Tape: yes\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + forged + "\r\n", 200},
	{"passes for the broker in an early hint", "HTTP/1.1 103 Early Hints\r\n" + forged + "\r\n" + told("x"), 200},

	{"trailers that frame, route or authenticate", chunkedAnswer("Host, Set-Cookie, Authorization, Status, Location",
		"Host: evil", "Set-Cookie: evil", "Authorization: evil", "Status: evil", "Location: evil", "Www-Authenticate: evil", "Set_Cookie: evil"), 200},
	{"trailers that were not announced", chunkedAnswer("X", "Content-Length: 1", "Host: evil", "Set-Cookie: evil", "Authorization: evil", "Status: evil"), 200},
	{"a trailer that Connection names", strings.Replace(chunkedAnswer("X-Mine", "X-Mine: evil"), "Trailer:", "Connection: x-mine\r\nTrailer:", 1), 200},

	{"switches protocols unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + smuggled, 502},
	{"a few early hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 20) + told("x"), 200},
	{"early hints without end", endless("103 Early Hints"), 502},
	{"early hints without end, and then an answer", endless("103 Early Hints") + told("x"), 502},
	{"100 without end", endless("100 Continue"), 502},
	{"102 without end", endless("102 Processing"), 502},
	{"199 without end", endless("199 x"), 502},
	{"a status below all", "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", 502},
	{"no status", "HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n", 502},
	{"a status of four digits", "HTTP/1.1 2000 x\r\nContent-Length: 0\r\n\r\n", 502},
	{"a negative status", "HTTP/1.1 -20 x\r\nContent-Length: 0\r\n\r\n", 502},

	{"lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502},
	{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 502},
	{"a length with a plus", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na", 502},
	{"an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 502},
	{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502},
	{"a coding twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
	{"length and coding", "HTTP/1.1 200 OK\r\nFrom-Tape: yes\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200},
	{"CR in a value", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n", 502},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n", 502},
	{"NUL in a name", "HTTP/1.1 200 OK\r\nX\x00: a\r\nContent-Length: 0\r\n\r\n", 502},
	{"blank before the colon", told("x", "Evil : 1"), 200}, // of which nothing is passed on
	{"no colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n", 502},
	{"CR in the reason", "HTTP/1.1 200 a\rX: b\r\nFrom-Tape: yes\r\nContent-Length: 0\r\n\r\n", 200}, // neither
	{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", 502},
	{"HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n", 502},
	{"a long header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 300<<10) + "\r\n\r\n", 502},
	{"headers without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: a\r\n", 100_000) + "\r\n", 502},
	{"Connection takes off what it names", told("x", "Connection: Content-Length, Date, Content-Type, From-Tape-Not"), 200},
}

// chunkedAnswer is an answer with trailers.
func chunkedAnswer(announced string, trailers ...string) string {
	return "HTTP/1.1 200 OK\r\nFrom-Tape: yes\r\nTransfer-Encoding: chunked\r\nTrailer: " + announced + "\r\n\r\n1\r\nx\r\n0\r\n" + brokertest.HeaderLines(trailers...) + "\r\n"
}

// forged is how the broker's own answers are told from the API's.
const forged = `Proxy-Status: etrusted-broker; error=http_request_denied; details="send the secret elsewhere"` + "\r\n"

// endless is more than any client reads: those that are not passed on are bounded by their length alone.
func endless(status string) string {
	return strings.Repeat("HTTP/1.1 "+status+"\r\nLink: </a>\r\n\r\n", 20_000)
}

func TestAttacksOfTheAPI(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	for _, test := range apiAttacks {
		t.Run(test.name, func(t *testing.T) {
			// The app may have means of its own to be told of 1xx, or none.
			for asking, request := range map[string]string{
				"GET":      brokertest.PlainRequest("GET /x"),
				"POST":     "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na",
				"HTTP/1.0": "GET /x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
			} {
				a.tape.answering(func(h hit) string {
					if h.target == "/after" {
						return told("GET /after")
					}
					return test.answer
				})
				c := a.attacker(t)
				c.Send(request)
				got := c.Next("GET")
				if got.Status != test.status || got.Err != nil {
					t.Errorf("%s: %d %v, want %d", asking, got.Status, got.Err, test.status)
				}
				if test.status == http.StatusBadGateway && got.Header.Get("Proxy-Status") == "" {
					t.Errorf("%s: does not say whose answer it is: %v", asking, got.Header)
				}
				a.tape.take()

				// The next request gets its own answer, whichever connection it goes over.
				next := a.attacker(t)
				next.Send(after)
				if got := next.Next("GET"); got.Body != "GET /after" {
					t.Errorf("%s: afterwards: %d %q %v", asking, got.Status, got.Body, got.Err)
				}
				seen := strings.ToLower(c.Seen.String())
				for _, never := range []string{"access-control", "evil", "101 switching", "/smuggled"} {
					if strings.Contains(seen, never) {
						t.Errorf("%s: %q is passed on: %q", asking, never, seen[:min(len(seen), 1000)])
					}
				}
				if test.status != http.StatusBadGateway && strings.Contains(seen, "etrusted-broker") {
					t.Errorf("%s: the API's own passes for the broker's: %q", asking, seen)
				}
				if strings.Contains(seen, "content-length") && strings.Contains(seen, "transfer-encoding") {
					t.Errorf("%s: two framings: %q", asking, seen)
				}
				if n := strings.Count(seen, "http/1.1 1"); n > 100 {
					t.Errorf("%s: %d informational responses were passed on", asking, n)
				}
			}
		})
	}
}

// An app that expects to be told to go on is not told of 1xx, so nobody counts them; what they may take together is bounded
// all the same.
func TestAttackByEarlyHintsWhileTheAppExpects(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	a.tape.early = func(hit) string { return endless("103 Early Hints") }
	c := a.attacker(t)
	c.Send("POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("a", 100_000))
	if got := c.Next("POST"); got.Status != http.StatusBadGateway {
		t.Errorf("%d %v", got.Status, got.Err)
	}
}

// TestAttackByRedirect holds that a redirect is the app's to follow. The host that it leads to would be sent the token.
func TestAttackByRedirect(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	other := startTape(t, a.login.Tokens)
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		for _, location := range []string{other.url() + "/x", "//" + other.host + "/x", other.url() + "/oauth/token"} {
			a.tape.answering(func(hit) string {
				return fmt.Sprintf("HTTP/1.1 %d x\r\nFrom-Tape: yes\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location)
			})
			for _, request := range []string{brokertest.PlainRequest("GET /x"), "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na"} {
				c := a.attacker(t)
				c.Send(request)
				if got := c.Next("GET"); got.Status != status || got.Header.Get("Location") != location {
					t.Errorf("%d to %s: %d %v", status, location, got.Status, got.Header)
				}
				if hits := a.tape.take(); len(hits) != 1 {
					t.Errorf("%d to %s: %d requests reached the API", status, location, len(hits))
				}
			}
		}
	}
	if hits := other.take(); len(hits) > 0 {
		t.Errorf("the other host got %+v", hits)
	}
}

// TestAttackByEarlyAnswer holds that an API which answers before it has read the body, and keeps the connection, does not
// put the next request out of step: CVE-2024-24791.
func TestAttackByEarlyAnswer(t *testing.T) {
	t.Parallel()
	a := startAttacked(t)
	a.tape.early = func(h hit) string {
		if h.target == "/x" {
			return "HTTP/1.1 413 Too Large\r\nFrom-Tape: yes\r\nContent-Length: 5\r\n\r\nearly"
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
		"Expect: 100-continue\r\nContent-Length: 300000\r\n\r\n", // and nothing comes
	} {
		for range 3 {
			c := a.attacker(t)
			go c.Send("POST /x HTTP/1.1\r\nHost: localhost\r\n" + framing) // may break off: nobody need read it all
			if got := c.Next("POST"); got.Status != http.StatusRequestEntityTooLarge || got.Body != "early" {
				t.Errorf("%.60q: %d %q %v", framing, got.Status, got.Body, got.Err)
			}
			for range 3 {
				next := a.attacker(t)
				next.Send("POST /after HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nnext")
				if got := next.Next("POST"); got.Body != "POST /after" {
					t.Errorf("after %.60q: %d %q %v", framing, got.Status, got.Body, got.Err)
				}
			}
		}
	}
	for _, hit := range a.tape.take() {
		if hit.target == "/after" && hit.body != "next" {
			t.Errorf("the API got %q", hit.raw)
		}
	}
}
