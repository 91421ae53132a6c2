package main

import (
	"fmt"
	"strconv"
	"strings"

	"etrusted-broker/internal/brokertest"
)

// smuggled is a second request, which must come upstream only where both sides agree that it is one.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

// It may also be what a body holds.
var (
	smuggledLength = strconv.Itoa(len(smuggled))
	smuggledChunk  = strconv.FormatInt(int64(len(smuggled)), 16) + "\r\n" + smuggled + "\r\n"
)

// framed is a POST with what tells where it ends, and a body, with a second request behind it.
func framed(framing, body string) string {
	return "POST /x HTTP/1.1\r\nHost: localhost\r\n" + framing + "\r\n" + body + smuggled
}

// then is for two requests of which everybody can tell where the first one ends.
var then = served("POST /x", "GET /smuggled")

// smugglingAttacks are requests that two servers in a row could take for two different things: RFC 9112 section 11.2.
var smugglingAttacks = []attack{
	{"length", framed("Content-Length: 4\r\n", "body"), then},
	{"length 0", framed("Content-Length: 0\r\n", ""), then},
	{"length with zeros in front", framed("Content-Length: 0004\r\n", "body"), then},
	{"length with blanks around", framed("Content-Length: \t 4 \t\r\n", "body"), then},
	{"neither", framed("", ""), then},
	{"chunked", framed("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"), then},
	{"chunked in odd case", framed("tRANSFER-eNCODING: cHUNKED\r\n", "0\r\n\r\n"), then},
	{"chunked with blanks around", framed("Transfer-Encoding:\t chunked \t\r\n", "0\r\n\r\n"), then},
	{"GET with a body", "GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, served("GET /x")},
	{"HEAD with a body", "HEAD /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, served("HEAD /x")},
	{"refused with a body", "POST /../x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, refused(400, "path")},
	{"refused with a chunked body", "POST /../x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggledChunk + "0\r\n\r\n", refused(400, "path")},
	{"refused while it expects to go on", "POST /../x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, refused(400, "path").closing()},
	{"another expectation", "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, unsaid(417)},
	{"one empty line between", framed("Content-Length: 4\r\n", "body\r\n"), then}, // RFC 9112 section 2.2
	{"one empty line before", "\r\n" + brokertest.PlainRequest("GET /x"), served("GET /x")},
	{"two empty lines before", "\r\n\r\n" + brokertest.PlainRequest("GET /x"), malformed(400)},
	{"LF before", "\n" + brokertest.PlainRequest("GET /x"), malformed(400)},
	{"CR before", "\r" + brokertest.PlainRequest("GET /x"), malformed(400)},
	{"blank before", " " + brokertest.PlainRequest("GET /x"), malformed(400)},

	{"CL, TE", framed("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE, CL", framed("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"), malformed(400)},
	{"CL 0, TE", framed("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"CL, TE that agree", framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"CL, CL", framed("Content-Length: 4\r\nContent-Length: 0\r\n", "body"), malformed(400)},
	{"CL, CL that agree", framed("Content-Length: 4\r\nContent-Length: 4\r\n", "body"), malformed(400)},
	{"CL, CL in odd case", framed("Content-Length: 4\r\ncontent-length: 4\r\n", "body"), malformed(400)},
	{"CL as a list", framed("Content-Length: 4, 4\r\n", "body"), malformed(400)},
	{"CL as a list without a blank", framed("Content-Length: 4,4\r\n", "body"), malformed(400)},
	{"CL negative", framed("Content-Length: -4\r\n", "body"), malformed(400)},
	{"CL with a plus", framed("Content-Length: +4\r\n", "body"), malformed(400)},
	{"CL hexadecimal", framed("Content-Length: 0x4\r\n", "body"), malformed(400)},
	{"CL in words", framed("Content-Length: four\r\n", "body"), malformed(400)},
	{"CL with a fraction", framed("Content-Length: 4.0\r\n", "body"), malformed(400)},
	{"CL with an exponent", framed("Content-Length: 4e0\r\n", "body"), malformed(400)},
	{"CL with an underscore", framed("Content-Length: 0_4\r\n", "body"), malformed(400)},
	{"CL with a blank within", framed("Content-Length: 4 0\r\n", "body"), malformed(400)},
	{"CL with a semicolon", framed("Content-Length: 4;0\r\n", "body"), malformed(400)},
	{"CL with a vertical tab", framed("Content-Length: \v4\r\n", "body"), malformed(400)},
	{"CL in other digits", framed("Content-Length: \xd9\xa4\r\n", "body"), malformed(400)},
	{"CL in quotes", framed("Content-Length: \"4\"\r\n", "body"), malformed(400)},
	{"CL blank", framed("Content-Length: \r\n", ""), malformed(400)},
	{"CL empty", framed("Content-Length:\r\n", ""), malformed(400)},
	{"CL too large", framed("Content-Length: 18446744073709551620\r\n", "body"), malformed(400)},
	{"CL just too large", framed("Content-Length: 9223372036854775808\r\n", "body"), malformed(400)},
	{"CL with a blank before the colon", framed("Content-Length : 4\r\n", "body"), malformed(400)},

	{"TE identity", framed("Transfer-Encoding: identity\r\n", ""), malformed(400)},
	{"TE identity, CL", framed("Transfer-Encoding: identity\r\nContent-Length: 4\r\n", "body"), malformed(400)},
	{"TE chunked, chunked", framed("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked, identity", framed("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE gzip, chunked", framed("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE xchunked", framed("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunkedx", framed("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE xchunked, CL", framed("Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n", "body"), malformed(400)},
	{"TE chunked with a comma", framed("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked with a comma behind", framed("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked with a parameter", framed("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked in quotes", framed("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked behind a vertical tab", framed("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked before a vertical tab", framed("Transfer-Encoding: chunked\v\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked behind a form feed", framed("Transfer-Encoding: \fchunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE chunked behind a no-break space", framed("Transfer-Encoding: \xc2\xa0chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE with a Kelvin sign", framed("Transfer-Encoding: chun\xe2\x84\xaaed\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE empty", framed("Transfer-Encoding:\r\n", ""), malformed(400)},
	{"TE empty, CL", framed("Transfer-Encoding:\r\nContent-Length: 4\r\n", "body"), malformed(400)},
	{"TE twice", framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE twice, one identity", framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE twice, identity first", framed("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE twice, one empty", framed("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE with a blank before the colon", framed("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE with a tab before the colon", framed("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE with a blank in front", framed(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE with a control character in the name", framed("Transfer-Encoding\x0b: chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE folded", framed("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), malformed(400)},
	{"TE folded with a tab, CL", framed("Content-Length: 4\r\nTransfer-Encoding:\r\n\tchunked\r\n", "body"), malformed(400)},
	{"TE behind a CR", framed("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", "body"), malformed(400)},
	{"TE behind a LF", framed("Content-Length: 4\r\nX: a\nTransfer-Encoding: chunked\r\n", "body"), malformed(400)},
	{"TE in HTTP/1.0", "POST /x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, malformed(400)},
	{"TE in HTTP/1.0 with keep-alive", "POST /x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, malformed(400)},
	{"CL named in Connection", framed("Connection: Content-Length\r\nContent-Length: 4\r\n", "body"), then},
	{"TE named in Connection", framed("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), then},
	{"CL with an underscore in the name", framed("Content_Length: 4\r\n", ""), then},

	{"bare LF everywhere", strings.ReplaceAll(framed("Content-Length: 0\r\n", ""), "\r\n", "\n"), malformed(400)},
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
	{"marker of the broker's own", brokertest.PlainRequest("GET /x", "Etrusted-Broker-Malformed: control") + smuggled, malformed(400).opening("GET /smuggled")},

	{"two Hosts", "GET /x HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n" + smuggled, malformed(400)},
	{"two Hosts that agree", "GET /x HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n" + smuggled, malformed(400)},
	{"no Host", "GET /x HTTP/1.1\r\n\r\n" + smuggled, malformed(400)},
	{"no Host in absolute-form", "GET http://localhost/x HTTP/1.1\r\n\r\n" + smuggled, malformed(400)},
	{"no Host in HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n" + smuggled, refused(421, "host").closing()},
	{"Host folded", "GET /x HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n" + smuggled, malformed(400)},
	{"Host with a port and a list", to("localhost:80,evil.example") + smuggled, malformed(400)},
	{"Host with a bracket", to("localhost]") + smuggled, malformed(400)},
	{"Host with an open bracket", to("[::1") + smuggled, malformed(400)},
	{"Host with a wildcard for a port", to("127.0.0.1:*") + smuggled, malformed(400)},
	{"Host with a port too large", to("localhost:99999") + smuggled, malformed(400)},
	{"Host with port 0", to("localhost:0") + smuggled, malformed(400)},
	{"Host with zeros before the port", to("localhost:080") + smuggled, malformed(400)},
	{"Host with an empty port", to("localhost:") + smuggled, malformed(400)},
	{"Host with a name for a port", to("localhost:http") + smuggled, malformed(400)},
	{"Host with a signed port", to("localhost:+80") + smuggled, malformed(400)},
	{"Host in brackets", to("[localhost]") + smuggled, malformed(400)},
	{"Host an IPv4 address in brackets", to("[127.0.0.1]") + smuggled, malformed(400)},
	{"Host without brackets", to("::1") + smuggled, malformed(400)},
	{"Host with text behind the brackets", to("[::1]localhost") + smuggled, malformed(400)},
	{"Host with text before the brackets", to("localhost[::1]") + smuggled, malformed(400)},
	{"Host with a future address", to("[v1.x]") + smuggled, malformed(400)},
	{"Host a port, smuggling", to(":80") + smuggled, malformed(400)},
	{"Host with the largest port", to("localhost:65535") + smuggled, served("GET /x", "GET /smuggled")},
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
	{"HTTP/1.0", "GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n" + smuggled, served("GET /x").closing()},
	{"close", brokertest.PlainRequest("GET /x", "Connection: close") + smuggled, served("GET /x").closing()},

	{"long header", brokertest.PlainRequest("GET /x", "X: "+strings.Repeat("a", 70_000)) + smuggled, malformed(431)},
	{"long name", brokertest.PlainRequest("GET /x", strings.Repeat("X", 70_000)+": a") + smuggled, malformed(431)},
	{"long path", brokertest.PlainRequest("GET /"+strings.Repeat("a", 70_000)) + smuggled, malformed(431)},
	{"long method", brokertest.PlainRequest(strings.Repeat("X", 70_000)+" /x") + smuggled, malformed(431)},
	{"header just short enough", brokertest.PlainRequest("GET /x", "X: "+strings.Repeat("a", 65_000)) + smuggled, served("GET /x", "GET /smuggled")},
	{"a thousand headers", brokertest.PlainRequest("GET /x", strings.TrimSuffix(strings.Repeat("X: a\r\n", 1_000), "\r\n")) + smuggled, served("GET /x", "GET /smuggled")},
	{"a thousand names", brokertest.PlainRequest("GET /x", manyFields(1_000)) + smuggled, served("GET /x", "GET /smuggled")},
	{"more headers than there is room for", brokertest.PlainRequest("GET /x", manyFields(10_000)) + smuggled, malformed(431)},
}

// opening is for the one malformed request that everybody can tell the end of.
func (o outcome) opening(hits ...string) outcome { o.open, o.hits = true, hits; return o }

func manyFields(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "X-%d: a\r\n", i)
	}
	return strings.TrimSuffix(text.String(), "\r\n")
}
