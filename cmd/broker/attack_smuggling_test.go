package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// smuggled is a second request. It may reach the API only if both sides agree that it is a request.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

// The smuggled request as a body.
var (
	smuggledLength = strconv.Itoa(len(smuggled))
	smuggledChunk  = strconv.FormatInt(int64(len(smuggled)), 16) + "\r\n" + smuggled + "\r\n"
)

// postThenSmuggled returns a POST with framing fields and a body, followed by the smuggled request.
func postThenSmuggled(framing, body string) string {
	return "POST /x HTTP/1.1\r\nHost: localhost\r\n" + framing + "\r\n" + body + smuggled
}

// bothForwarded is the outcome of two requests whose boundary is unambiguous.
var bothForwarded = forwarded("POST /x", "GET /smuggled")

// Two servers in a chain could read these requests differently: RFC 9112 section 11.2.
func TestRefusesSmuggling(t *testing.T) {
	t.Parallel()
	attacks := []attack{
		{"length", postThenSmuggled("Content-Length: 4\r\n", "body"), bothForwarded},
		{"length 0", postThenSmuggled("Content-Length: 0\r\n", ""), bothForwarded},
		{"length with zeros in front", postThenSmuggled("Content-Length: 0004\r\n", "body"), bothForwarded},
		{"length with blanks around", postThenSmuggled("Content-Length: \t 4 \t\r\n", "body"), bothForwarded},
		{"neither", postThenSmuggled("", ""), bothForwarded},
		{"chunked", postThenSmuggled("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), bothForwarded},
		{"chunked in odd case", postThenSmuggled("tRANSFER-eNCODING: cHUNKED\r\n", "0\r\n\r\n"), bothForwarded},
		{"chunked with blanks around", postThenSmuggled("Transfer-Encoding:\t chunked \t\r\n", "0\r\n\r\n"), bothForwarded},
		{"GET with a body", "GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, forwarded("GET /x")},
		{"HEAD with a body", "HEAD /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, forwarded("HEAD /x")},
		{"refused with a body", "POST /../x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, denied(400, "path")},
		{"refused with a chunked body", "POST /../x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggledChunk + "0\r\n\r\n", denied(400, "path")},
		{"refused while it expects 100 Continue", "POST /../x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, denied(400, "path").thenCloses()},
		{"another expectation", "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, malformed(417)},
		{"one empty line between", postThenSmuggled("Content-Length: 4\r\n", "body\r\n"), bothForwarded}, // RFC 9112 section 2.2
		{"one empty line before", "\r\n" + brokertest.PlainRequest("GET /x"), forwarded("GET /x")},
		{"two empty lines before", "\r\n\r\n" + brokertest.PlainRequest("GET /x"), malformed(400)},
		{"LF before", "\n" + brokertest.PlainRequest("GET /x"), malformed(400)},
		{"CR before", "\r" + brokertest.PlainRequest("GET /x"), malformed(400)},
		{"blank before", " " + brokertest.PlainRequest("GET /x"), malformed(400)},

		{"CL, TE", postThenSmuggled("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE, CL", postThenSmuggled("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"), malformed(400)},
		{"CL 0, TE", postThenSmuggled("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"CL, TE that agree", postThenSmuggled("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"CL, CL", postThenSmuggled("Content-Length: 4\r\nContent-Length: 0\r\n", "body"), malformed(400)},
		{"CL, CL that agree", postThenSmuggled("Content-Length: 4\r\nContent-Length: 4\r\n", "body"), malformed(400)},
		{"CL, CL in odd case", postThenSmuggled("Content-Length: 4\r\ncontent-length: 4\r\n", "body"), malformed(400)},
		{"CL as a list", postThenSmuggled("Content-Length: 4, 4\r\n", "body"), malformed(400)},
		{"CL as a list without a blank", postThenSmuggled("Content-Length: 4,4\r\n", "body"), malformed(400)},
		{"CL negative", postThenSmuggled("Content-Length: -4\r\n", "body"), malformed(400)},
		{"CL with a plus", postThenSmuggled("Content-Length: +4\r\n", "body"), malformed(400)},
		{"CL hexadecimal", postThenSmuggled("Content-Length: 0x4\r\n", "body"), malformed(400)},
		{"CL in words", postThenSmuggled("Content-Length: four\r\n", "body"), malformed(400)},
		{"CL with a fraction", postThenSmuggled("Content-Length: 4.0\r\n", "body"), malformed(400)},
		{"CL with an exponent", postThenSmuggled("Content-Length: 4e0\r\n", "body"), malformed(400)},
		{"CL with an underscore", postThenSmuggled("Content-Length: 0_4\r\n", "body"), malformed(400)},
		{"CL with a blank within", postThenSmuggled("Content-Length: 4 0\r\n", "body"), malformed(400)},
		{"CL with a semicolon", postThenSmuggled("Content-Length: 4;0\r\n", "body"), malformed(400)},
		{"CL with a vertical tab", postThenSmuggled("Content-Length: \v4\r\n", "body"), malformed(400)},
		{"CL in other digits", postThenSmuggled("Content-Length: \xd9\xa4\r\n", "body"), malformed(400)},
		{"CL in quotes", postThenSmuggled("Content-Length: \"4\"\r\n", "body"), malformed(400)},
		{"CL blank", postThenSmuggled("Content-Length: \r\n", ""), malformed(400)},
		{"CL empty", postThenSmuggled("Content-Length:\r\n", ""), malformed(400)},
		{"CL too large", postThenSmuggled("Content-Length: 18446744073709551620\r\n", "body"), malformed(400)},
		{"CL just too large", postThenSmuggled("Content-Length: 9223372036854775808\r\n", "body"), malformed(400)},
		{"CL with a blank before the colon", postThenSmuggled("Content-Length : 4\r\n", "body"), malformed(400)},

		{"TE identity", postThenSmuggled("Transfer-Encoding: identity\r\n", ""), malformed(400)},
		{"TE identity, CL", postThenSmuggled("Transfer-Encoding: identity\r\nContent-Length: 4\r\n", "body"), malformed(400)},
		{"TE chunked, chunked", postThenSmuggled("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked, identity", postThenSmuggled("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE gzip, chunked", postThenSmuggled("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE xchunked", postThenSmuggled("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunkedx", postThenSmuggled("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE xchunked, CL", postThenSmuggled("Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n", "body"), malformed(400)},
		{"TE chunked with a comma", postThenSmuggled("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked with a comma behind", postThenSmuggled("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked with a parameter", postThenSmuggled("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked in quotes", postThenSmuggled("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked behind a vertical tab", postThenSmuggled("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked before a vertical tab", postThenSmuggled("Transfer-Encoding: chunked\v\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked behind a form feed", postThenSmuggled("Transfer-Encoding: \fchunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE chunked behind a no-break space", postThenSmuggled("Transfer-Encoding: \xc2\xa0chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE with a Kelvin sign", postThenSmuggled("Transfer-Encoding: chun\xe2\x84\xaaed\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE empty", postThenSmuggled("Transfer-Encoding:\r\n", ""), malformed(400)},
		{"TE empty, CL", postThenSmuggled("Transfer-Encoding:\r\nContent-Length: 4\r\n", "body"), malformed(400)},
		{"TE twice", postThenSmuggled("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE twice, one identity", postThenSmuggled("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE twice, identity first", postThenSmuggled("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE twice, one empty", postThenSmuggled("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE with a blank before the colon", postThenSmuggled("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE with a tab before the colon", postThenSmuggled("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE with a blank in front", postThenSmuggled(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE with a control character in the name", postThenSmuggled("Transfer-Encoding\x0b: chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE folded", postThenSmuggled("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), malformed(400)},
		{"TE folded with a tab, CL", postThenSmuggled("Content-Length: 4\r\nTransfer-Encoding:\r\n\tchunked\r\n", "body"), malformed(400)},
		{"TE behind a CR", postThenSmuggled("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", "body"), malformed(400)},
		{"TE behind a LF", postThenSmuggled("Content-Length: 4\r\nX: a\nTransfer-Encoding: chunked\r\n", "body"), malformed(400)},
		{"TE in HTTP/1.0", "POST /x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, malformed(400)},
		{"TE in HTTP/1.0 with keep-alive", "POST /x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, malformed(400)},
		{"CL named in Connection", postThenSmuggled("Connection: Content-Length\r\nContent-Length: 4\r\n", "body"), bothForwarded},
		{"TE named in Connection", postThenSmuggled("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), bothForwarded},
		{"CL with an underscore in the name", postThenSmuggled("Content_Length: 4\r\n", ""), bothForwarded},

		{"bare LF everywhere", strings.ReplaceAll(postThenSmuggled("Content-Length: 0\r\n", ""), "\r\n", "\n"), malformed(400)},
		{"bare LF behind the request line", "GET /x HTTP/1.1\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"bare LF behind a field", "GET /x HTTP/1.1\r\nHost: localhost\nX: a\r\n\r\n" + smuggled, malformed(400)},
		{"bare LF at the end", "GET /x HTTP/1.1\r\nHost: localhost\r\n\n" + smuggled, malformed(400)},
		{"bare LF twice", "GET /x HTTP/1.1\r\nHost: localhost\n\n" + smuggled, malformed(400)},
		{"bare CR behind the request line", "GET /x HTTP/1.1\rHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"bare CR at the end", "GET /x HTTP/1.1\r\nHost: localhost\r\n\rGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n", malformed(400)},
		{"CR in a value", brokertest.PlainRequest("GET /x", "X: a\rb") + smuggled, malformed(400)},
		{"CR before CR and LF", "GET /x HTTP/1.1\r\nHost: localhost\r\r\n\r\n" + smuggled, malformed(400)},
		{"LF, CR", "GET /x HTTP/1.1\n\rHost: localhost\n\r\n\r" + smuggled, malformed(400)},
		{"folded line", brokertest.PlainRequest("GET /x", "X: a", " b") + smuggled, malformed(400)},
		{"folded line with a tab", brokertest.PlainRequest("GET /x", "X: a", "\tb") + smuggled, malformed(400)},
		{"folded first line", "GET /x HTTP/1.1\r\n Host: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"blank line with a blank", "GET /x HTTP/1.1\r\nHost: localhost\r\n \r\n" + smuggled, malformed(400)},
		{"NUL in a name", brokertest.PlainRequest("GET /x", "X\x00: a") + smuggled, malformed(400)},
		{"NUL in a value", brokertest.PlainRequest("GET /x", "X: a\x00b") + smuggled, malformed(400)},
		{"escape in a value", brokertest.PlainRequest("GET /x", "X: a\x1bb") + smuggled, malformed(400)},
		{"DEL in a value", brokertest.PlainRequest("GET /x", "X: a\x7fb") + smuggled, malformed(400)},
		{"no colon", brokertest.PlainRequest("GET /x", "X a") + smuggled, malformed(400)},
		{"no name", brokertest.PlainRequest("GET /x", ": a") + smuggled, malformed(400)},
		{"blank in a name", brokertest.PlainRequest("GET /x", "X Y: a") + smuggled, malformed(400)},
		{"blank before the colon", brokertest.PlainRequest("GET /x", "X : a") + smuggled, malformed(400)},
		{"UTF-8 in a name", brokertest.PlainRequest("GET /x", "X\xc3\xa4: a") + smuggled, malformed(400)},
		{"separator in a name", brokertest.PlainRequest("GET /x", "X(y): a") + smuggled, malformed(400)},

		{"two Hosts", "GET /x HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n" + smuggled, malformed(400)},
		{"two Hosts that agree", "GET /x HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"no Host", "GET /x HTTP/1.1\r\n\r\n" + smuggled, malformed(400)},
		{"no Host in absolute-form", "GET http://localhost/x HTTP/1.1\r\n\r\n" + smuggled, malformed(400)},
		{"no Host in HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n" + smuggled, denied(421, "host").thenCloses()},
		{"Host folded", "GET /x HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n" + smuggled, malformed(400)},
		{"Host with a port and a list", getWithHost("localhost:80,evil.example") + smuggled, malformed(400)},
		{"Host with a bracket", getWithHost("localhost]") + smuggled, malformed(400)},
		{"Host with an open bracket", getWithHost("[::1") + smuggled, malformed(400)},
		{"Host with a wildcard for a port", getWithHost("127.0.0.1:*") + smuggled, malformed(400)},
		{"Host with a port too large", getWithHost("localhost:99999") + smuggled, malformed(400)},
		{"Host with port 0", getWithHost("localhost:0") + smuggled, malformed(400)},
		{"Host with zeros before the port", getWithHost("localhost:080") + smuggled, malformed(400)},
		{"Host with an empty port", getWithHost("localhost:") + smuggled, malformed(400)},
		{"Host with a name for a port", getWithHost("localhost:http") + smuggled, malformed(400)},
		{"Host with a signed port", getWithHost("localhost:+80") + smuggled, malformed(400)},
		{"Host in brackets", getWithHost("[localhost]") + smuggled, malformed(400)},
		{"Host an IPv4 address in brackets", getWithHost("[127.0.0.1]") + smuggled, malformed(400)},
		{"Host without brackets", getWithHost("::1") + smuggled, malformed(400)},
		{"Host with text behind the brackets", getWithHost("[::1]localhost") + smuggled, malformed(400)},
		{"Host with text before the brackets", getWithHost("localhost[::1]") + smuggled, malformed(400)},
		{"Host with a future address", getWithHost("[v1.x]") + smuggled, malformed(400)},
		{"Host is only a port, smuggling", getWithHost(":80") + smuggled, malformed(400)},
		{"Host with the largest port", getWithHost("localhost:65535") + smuggled, forwarded("GET /x", "GET /smuggled")},
		{"Host with a blank before the colon", "GET /x HTTP/1.1\r\nHost : localhost\r\n\r\n" + smuggled, malformed(400)},

		{"HTTP/0.9", "GET /x\r\n" + smuggled, malformed(400)},
		{"HTTP/0.9 by number", "GET /x HTTP/0.9\r\nHost: localhost\r\n\r\n" + smuggled, malformed(505)},
		{"HTTP/1.2", "GET /x HTTP/1.2\r\nHost: localhost\r\n\r\n" + smuggled, malformed(505)},
		{"HTTP/1.9", "GET /x HTTP/1.9\r\nHost: localhost\r\n\r\n" + smuggled, malformed(505)},
		{"HTTP/1.10", "GET /x HTTP/1.10\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"HTTP/01.1", "GET /x HTTP/01.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"HTTP/2.0", "GET /x HTTP/2.0\r\nHost: localhost\r\n\r\n" + smuggled, malformed(505)},
		{"HTTP/2", "GET /x HTTP/2\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"http/1.1", "GET /x http/1.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"HTTP without a number", "GET /x HTTP\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"ICAP", "GET /x ICAP/1.0\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"blank behind the version", "GET /x HTTP/1.1 \r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"two blanks", "GET  /x HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"two blanks before the version", "GET /x  HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"tab for a blank", "GET\t/x\tHTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"no method", " /x HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"method with a colon", "GE:T /x HTTP/1.1\r\nHost: localhost\r\n\r\n" + smuggled, malformed(400)},
		{"response in place of a request", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + smuggled, malformed(400)},
		{"TLS in place of a request", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + smuggled, malformed(400)},
		{"HTTP/1.0", "GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n" + smuggled, forwarded("GET /x").thenCloses()},
		{"close", brokertest.PlainRequest("GET /x", "Connection: close") + smuggled, forwarded("GET /x").thenCloses()},

		{"long header", brokertest.PlainRequest("GET /x", "X: "+strings.Repeat("a", 70_000)) + smuggled, malformed(431)},
		{"long name", brokertest.PlainRequest("GET /x", strings.Repeat("X", 70_000)+": a") + smuggled, malformed(431)},
		{"long path", brokertest.PlainRequest("GET /"+strings.Repeat("a", 70_000)) + smuggled, malformed(431)},
		{"long method", brokertest.PlainRequest(strings.Repeat("X", 70_000)+" /x") + smuggled, malformed(431)},
		{"header just short enough", brokertest.PlainRequest("GET /x", "X: "+strings.Repeat("a", 65_000)) + smuggled, forwarded("GET /x", "GET /smuggled")},
		{"a thousand headers", brokertest.PlainRequest("GET /x", strings.TrimSuffix(strings.Repeat("X: a\r\n", 1_000), "\r\n")) + smuggled, forwarded("GET /x", "GET /smuggled")},
		{"a thousand names", brokertest.PlainRequest("GET /x", manyFields(1_000)) + smuggled, forwarded("GET /x", "GET /smuggled")},
		{"more headers than the limit", brokertest.PlainRequest("GET /x", manyFields(10_000)) + smuggled, malformed(431)},
	}
	t.Run("in clear", func(t *testing.T) {
		t.Parallel()
		startAttackTarget(t).runAll(t, attacks)
	})
	t.Run("over TLS", func(t *testing.T) {
		t.Parallel()
		files := newTLSFiles(t)
		files.writePair(t, brokertest.NewCA(t, "servers"), "broker", time.Hour)
		a := startAttackTarget(t, "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key)
		a.tls = true
		a.runAll(t, attacks)
	})
}

func manyFields(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "X-%d: a\r\n", i)
	}
	return strings.TrimSuffix(text.String(), "\r\n")
}
