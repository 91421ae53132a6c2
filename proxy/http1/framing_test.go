package http1_test

import (
	"strings"
	"testing"
)

// malformed are requests that must be refused, with the Code of their RequestError.
var malformed = []struct{ name, request, code string }{
	{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "line-end"},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", "line-end"},
	{"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", "line-end"},
	{"bare LF before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "line-end"},
	{"bare LF in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\n: a\r\n\r\n", "line-end"},
	{"bare LF in the target", "GET /\n HTTP/1.1\r\nHost: a\r\n\r\n", "line-end"},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "line-end"},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "line-end"},
	{"bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "line-end"},
	{"bare CR as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX", "line-end"},
	{"bare CR before the request", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "line-end"},
	{"only LF", "\n\n", "line-end"},

	{"folded value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "folding"},
	{"folded with HTAB", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", "folding"},
	{"space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folding"},
	{"folded Transfer-Encoding", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n , gzip\r\n\r\n0\r\n\r\n", "folding"},

	{"NUL in the method", "G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", "control"},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "control"},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: a\r\n\r\n", "control"},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "control"},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", "control"},
	{"DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "control"},
	{"vertical tab in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\vb\r\n\r\n", "control"},
	{"vertical tab before chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "control"},
	{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "control"},

	{"no version", "GET /\r\n\r\n", "request-line"},
	{"no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"only a word", "GE\r\n\r\n", "request-line"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "request-line"},
	{"space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"HTAB for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"HTAB before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"method that is not ASCII", "G\xc3\x84T / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"lower-case http", "GET / http/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "request-line"},
	{"no minor version", "GET / HTTP/1\r\nHost: a\r\n\r\n", "request-line"},
	{"a comma in the version", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", "request-line"},
	{"one-letter method, target and two spaces", "M /  HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"one-letter method, two spaces", "M  / HTTP/1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"one letter", "M\r\n", "request-line"},

	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "version"},

	{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"half an escape", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"a percent sign", "GET /% HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"only a query", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"absolute-form with a bad port", "GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"absolute-form with a port too large", "GET http://a:65536/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"absolute-form with an empty port", "GET http://a:/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"absolute-form with a name in brackets", "GET http://[a]/ HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"CONNECT to a port too large", "CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"CONNECT to a user", "CONNECT a@b:443 HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"CONNECT to a path", "CONNECT a:443/b HTTP/1.1\r\nHost: a\r\n\r\n", "target"},
	{"CONNECT to a bad port", "CONNECT a:b HTTP/1.1\r\nHost: a\r\n\r\n", "target"},

	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "field"},
	{"space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", "field"},
	{"space after Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", "field"},
	{"HTAB before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n", "field"},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", "field"},
	{"name that is no token", "GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n", "field"},
	{"name that is not ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: a\r\n\r\n", "field"},

	{"Content-Length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", "content-length"},
	{"Content-Length below 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", "content-length"},
	{"Content-Length in hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", "content-length"},
	{"Content-Length with an underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nabc", "content-length"},
	{"Content-Length that is empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc", "content-length"},
	{"Content-Length of two numbers", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc", "content-length"},
	{"Content-Length as a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", "content-length"},
	{"Content-Length over 63 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc", "content-length"},
	{"Content-Length that overflows to 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 19446744073709551619\r\n\r\nabc", "content-length"},
	{"two equal Content-Lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "content-length"},
	{"two Content-Lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 0\r\n\r\nabc", "content-length"},
	{"two Content-Lengths of 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "content-length"},

	{"both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"both framings, in the other order", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding of identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding of gzip too", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding of xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding that is empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding with the Kelvin sign", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},

	{"no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", "host"},
	{"no fields", "GET / HTTP/1.1\r\n\r\n", "host"},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "host"},
	{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "host"},
	{"two hosts in one", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "host"},
	{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "host"},
	{"Host with a port too large", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "host"},
	{"Host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "host"},
	{"Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "host"},
	{"Host with a list", "GET / HTTP/1.0\r\nHost: a:80,b\r\n\r\n", "host"},
	{"Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "host"},

	{"header of 64 KiB and a byte", padded(64<<10 + 1), "too-long"},
	{"header that does not end", strings.Repeat("x", 70<<10), "too-long"},
	{"field line that does not end", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 70<<10), "too-long"},

	{"two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "empty-lines"},
	{"Content-Length with quotes", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"3\"\r\n\r\nabc", "content-length"},
	{"Content-Length with a fraction", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc", "content-length"},
	{"Content-Length with a trailing comma", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3,\r\n\r\nabc", "content-length"},
	{"Content-Length with NUL", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\x00\r\n\r\nabc", "control"},
	{"Transfer-Encoding of chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"Transfer-Encoding after a semicolon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ;chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},
	{"both framings, length 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"},

	{"Trailer of Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: A, content-length\r\n\r\n0\r\n\r\n", "trailer"},
	{"Trailer of Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Transfer-Encoding\r\n\r\n0\r\n\r\n", "trailer"},
	{"Trailer of Trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Trailer\r\n\r\n0\r\n\r\n", "trailer"},

	{"Expect of something else", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", "expectation"},
	{"Expect of something else, first of two", "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nExpect: 100-continue\r\n\r\n", "expectation"},
	{"Expect of something else in a list", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\n\r\n", "expectation"},

	{"Host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "host"},
	{"Host with a query", "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", "host"},
	{"Host with a fragment", "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", "host"},
	{"absolute-form with a fragment for a path", "GET http://a#f HTTP/1.1\r\nHost: a\r\n\r\n", "target"},

	{"ESC in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\r\n\r\n", "control"},
	{"an SSH hello", "SSH-2.0-OpenSSH_9.9\r\n", "request-line"},
	{"an SMTP hello", "EHLO example.org\r\n", "request-line"},
	{"an HTTP/0.9 request", "GET /\r\n", "request-line"},
	{"a sign in the version", "GET / HTTP/+1.1\r\nHost: a\r\n\r\n", "request-line"},
	{"4,097 lines", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A:\r\n", 4095) + "\r\n", "too-long"},
}

// padded returns a request whose header has a length.
func padded(length int) string {
	begin, end := "GET /long HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n"
	return begin + strings.Repeat("x", length-len(begin)-len(end)) + end
}

// wellFormed are requests that must be served, with their bodies.
var wellFormed = []struct{ name, request, body string }{
	{"plain", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"HTAB in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", ""},
	{"HTAB around a value", "GET /x HTTP/1.1\r\nHost:\ta\t\r\n\r\n", ""},
	{"no space after the colon", "GET /x HTTP/1.1\r\nHost:a\r\n\r\n", ""},
	{"empty value", "GET /x HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\n\r\n", ""},
	{"empty Host", "GET /x HTTP/1.1\r\nHost:\r\n\r\n", ""},
	{"value that is not ASCII", "GET /x HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\xff\r\n\r\n", ""},
	{"lower-case names", "GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", ""},
	{"a Host with a port", "GET /x HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", ""},
	{"a colon in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a: b\r\n\r\n", ""},
	{"an odd method", "M-SEARCH! /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"a short method", "M / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"target that is not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"escapes", "GET /%2F%c3%A4?%zz&%=% HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"absolute-form", "GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"HTTP/1.0", "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""},
	{"HTTP/1.0 with a Host", "GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", ""},
	{"Content-Length", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"},
	{"Content-Length with spaces", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \t3 \r\n\r\nabc", "abc"},
	{"Content-Length with zeros", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc", "abc"},
	{"PUT with Content-Length 0", "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", ""},
	{"body that looks like a request", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\nGET /y HTTP/1.1\r\n\r\n", "GET /y HTTP/1.1\r\n\r\n"},
	{"body with any bytes", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\x00\n\r\x7f", "\x00\n\r\x7f"},
	{"body of 64 KiB", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("0123456789abcdef", 4096), strings.Repeat("0123456789abcdef", 4096)},
	{"chunks", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0b\r\n0123456789a\r\n0\r\n\r\n", "abc0123456789a"},
	{"chunks in capitals", "POST /x HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n000\r\n\r\n", "0123456789"},
	{"chunk extensions", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"\td\"\r\nabc\r\n0;e\r\n\r\n", "abc"},
	{"trailer", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3\r\nabc\r\n0\r\nT: t\r\nU:\r\n\r\n", "abc"},
	{"a long chunk", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n" + strings.Repeat("0123456789abcdef", 4096) + "\r\n0\r\n\r\n", strings.Repeat("0123456789abcdef", 4096)},
	{"long extensions", chunkedRequest + strings.Repeat("1;"+strings.Repeat("e", 3000)+"\r\nx\r\n", 3) + "0\r\n\r\n", "xxx"},
	{"long extension and trailer", chunkedRequest + "1\r\nx\r\n0;" + strings.Repeat("e", 3000) + "\r\nT: " + strings.Repeat("t", 3000) + "\r\n\r\n", "x"},
	{"many short extensions", chunkedRequest + strings.Repeat("1;abcdefghij\r\nx\r\n", 2000) + "0\r\n\r\n", strings.Repeat("x", 2000)},
	{"long extensions of long chunks", chunkedRequest + strings.Repeat("5dc;"+strings.Repeat("e", 3000)+"\r\n"+strings.Repeat("x", 1500)+"\r\n", 7) + "0\r\n\r\n", strings.Repeat("x", 7*1500)},
	{"no chunks", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
	{"an empty line first", "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"4,096 lines", "GET /x HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A:\r\n", 4094) + "\r\n", ""},
	{"method of 60 kB", strings.Repeat("M", 60000) + " /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"Connection of 5,000 elements", "GET /x HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat("x,", 5000) + "\r\n\r\n", ""},
	{"an underscore in a name", "GET /x HTTP/1.1\r\nHost: a\r\nX_Y: a\r\n\r\n", ""},
	{"a fragment", "GET /x#f HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"absolute-form without a path", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"absolute-form with a query only", "GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"Transfer-Encoding with whitespace", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\t ChUnKeD \t\r\n\r\n1\r\nx\r\n0\r\n\r\n", "x"},
	{"Expect in any case", "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-CONTINUE\r\nContent-Length: 3\r\n\r\nabc", "abc"},
	{"Expect twice and in a list", "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, 100-continue,\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "abc"},
	{"Expect that is empty", "POST /x HTTP/1.1\r\nHost: a\r\nExpect:\r\nContent-Length: 3\r\n\r\nabc", "abc"},
	{"Expect in HTTP/1.0", "POST /x HTTP/1.0\r\nConnection: keep-alive\r\nExpect: x\r\nContent-Length: 3\r\n\r\nabc", "abc"},
	{"POST in HTTP/1.0 without a length", "POST /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ""},
	{"Trailer without chunks", "GET /x HTTP/1.1\r\nHost: a\r\nTrailer: A\r\n\r\n", ""},
	{"header of 64 KiB", padded(64 << 10), ""},
}

const (
	before = "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
	behind = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"
)

func malformedStatus(code string) int {
	switch code {
	case "version":
		return 505
	case "too-long":
		return 431
	case "expectation":
		return 417
	default:
		return 400
	}
}

// HTTP-level rows C1 to C38: the handler sees the error, its answer is the last one on the connection, and what follows is
// never a request.
func TestRefusesMalformedRequests(t *testing.T) {
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			single := play(t, []byte(test.request+behind))
			responses := single.responses(t)
			if len(single.requests) != 1 || single.requests[0].malformed != test.code {
				t.Fatalf("the handler saw %+v, want only the error %s", single.requests, test.code)
			}
			if len(responses) != 1 || responses[0].status != malformedStatus(test.code) || !responses[0].close {
				t.Errorf("the client saw %v, want %d and Connection: close", responses, malformedStatus(test.code))
			}
			expectSameWhenCut(t, 0, test.request+behind, single)

			pipelined := play(t, []byte(before+before+test.request+behind))
			if r := pipelined.requests; len(r) != 3 || r[0].target != "/before" || r[1].target != "/before" || r[2] != single.requests[0] {
				t.Errorf("after two good requests, the handler saw %+v", r)
			}
			if r := pipelined.responses(t); len(r) != 3 || r[0].status != 200 || r[1].status != 200 || r[2] != responses[0] {
				t.Errorf("after two good requests, the client saw %v, want 200, 200, %v", r, responses[0])
			}
		})
	}
}

func TestServesWellFormedRequests(t *testing.T) {
	for _, test := range wellFormed {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := play(t, []byte(before+test.request+behind))
			responses := got.responses(t)
			if len(got.requests) != 3 || got.requests[0].target != "/before" || got.requests[2].target != "/behind" {
				t.Fatalf("the handler saw %+v, want three requests", got.requests)
			}
			if r := got.requests[1]; r.malformed != "" || r.broken || r.body != test.body {
				t.Errorf("the handler saw %+v, want the body %q", r, test.body)
			}
			if len(responses) != 3 || responses[1].status != 200 {
				t.Errorf("the client saw %v, want 200 three times", responses)
			}
			expectSameWhenCut(t, len(before), before+test.request+behind, got)
		})
	}
}

// The method of a malformed request is known if it can be: a response to HEAD must not have a body.
func TestMalformedRequestKeepsItsMethod(t *testing.T) {
	for request, want := range map[string]string{
		"HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n":  "HEAD",
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n":   "GET",
		"HEAD / HTTP/1.1\r\nHost: a\r\nX\r\n":    "HEAD",
		"\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\r": "HEAD",
		"HEAD\x00/ HTTP/1.1\r\n":                 "",
		strings.Repeat("M", 33) + " / x\r\n":     "",
	} {
		got := play(t, []byte(request+"HEAD /behind HTTP/1.1\r\nHost: a\r\n\r\n"))
		if len(got.requests) != 1 || got.requests[0].malformed == "" || got.requests[0].method != want {
			t.Errorf("%q: got %+v, want the method %q", request, got.requests, want)
		}
	}
}

func TestFieldsKeepOrderAndCase(t *testing.T) {
	got := play(t, []byte("GET / HTTP/1.1\r\nx-B:  2 \r\nHOST: a\r\nX-a: 1\r\nX-b:\r\n\r\n"))
	want := `[{"x-B" "2"} {"HOST" "a"} {"X-a" "1"} {"X-b" ""}]`
	if len(got.requests) != 1 || got.requests[0].fields != want {
		t.Errorf("got %+v, want the fields %s", got.requests, want)
	}
}

// Row C37: Close may be any element of Connection.
func TestClosesWhenClientAsks(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, ,\tCLOSE\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		"POST / HTTP/1.0\r\n\r\n",
		"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		got := play(t, []byte(request+behind))
		responses := got.responses(t)
		if len(got.requests) != 1 || len(responses) != 1 || !responses[0].close {
			t.Errorf("%q: the handler saw %+v, the client %v, want one request and Connection: close", request, got.requests, responses)
		}
	}
}
