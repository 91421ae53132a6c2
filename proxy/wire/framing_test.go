package wire_test

import (
	"slices"
	"strings"
	"testing"
)

// What is told of each fault, by the beginning of its text.
const (
	lineEnd     = "a line of the request's header does not end"
	control     = "there is a control character"
	folding     = "a line of the request's header begins with a blank"
	emptyLines  = "there are empty lines"
	requestLine = "the request does not begin with a method"
	version     = "the request is of another version"
	target      = "the request's target"
	field       = "a line of the request's header is not a name"
	length      = "the request's Content-Length"
	coding      = "the request's Transfer-Encoding"
	host        = "the request has no Host"
	tooLong     = "the request's header is longer"
)

// malformed are requests that are refused, and why. Each has a good one after it, which must not be served.
var malformed = []struct{ name, request, fault string }{
	{"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", lineEnd},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", lineEnd},
	{"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", lineEnd},
	{"bare LF before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", lineEnd},
	{"bare LF in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\n: a\r\n\r\n", lineEnd},
	{"bare LF in the target", "GET /\n HTTP/1.1\r\nHost: a\r\n\r\n", lineEnd},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", lineEnd},
	{"CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", lineEnd},
	{"bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", lineEnd},
	{"bare CR as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX", lineEnd},
	{"bare CR before the request", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", lineEnd},
	{"LF alone", "\n\n", lineEnd},

	{"folded value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", folding},
	{"folded with HTAB", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", folding},
	{"blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", folding},
	{"folded Transfer-Encoding", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n , gzip\r\n\r\n0\r\n\r\n", folding},

	{"NUL in the method", "G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", control},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", control},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: a\r\n\r\n", control},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", control},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", control},
	{"DEL in the target", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", control},
	{"vertical tab in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\vb\r\n\r\n", control},
	{"vertical tab before chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", control},
	{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", control},

	{"no version", "GET /\r\n\r\n", requestLine},
	{"no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"nothing but a word", "GE\r\n\r\n", requestLine},
	{"blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"two blanks before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"blank after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", requestLine},
	{"blank before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"HTAB for a blank", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"HTAB before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"method that is not ASCII", "G\xc3\x84T / HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"lower-case http", "GET / http/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", requestLine},
	{"no minor version", "GET / HTTP/1\r\nHost: a\r\n\r\n", requestLine},
	{"a comma in the version", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", requestLine},
	{"one-letter method, target and two blanks", "M /  HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"one-letter method, two blanks", "M  / HTTP/1.1\r\nHost: a\r\n\r\n", requestLine},
	{"one letter", "M\r\n", requestLine},

	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", version},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", version},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", version},

	{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"half an escape", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"a percent sign", "GET /% HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"a query alone", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"absolute-form with a bad port", "GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"absolute-form with a port too large", "GET http://a:65536/ HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"absolute-form with an empty port", "GET http://a:/ HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"absolute-form with a name in brackets", "GET http://[a]/ HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"CONNECT to a port too large", "CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"CONNECT to a user", "CONNECT a@b:443 HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"CONNECT to a path", "CONNECT a:443/b HTTP/1.1\r\nHost: a\r\n\r\n", target},
	{"CONNECT to a bad port", "CONNECT a:b HTTP/1.1\r\nHost: a\r\n\r\n", target},

	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", field},
	{"blank before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", field},
	{"blank after Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", field},
	{"HTAB before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n", field},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", field},
	{"name that is no token", "GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n", field},
	{"name that is not ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: a\r\n\r\n", field},

	{"Content-Length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", length},
	{"Content-Length below 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", length},
	{"Content-Length in hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", length},
	{"Content-Length with an underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nabc", length},
	{"Content-Length that is empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc", length},
	{"Content-Length of two numbers", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc", length},
	{"Content-Length as a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", length},
	{"Content-Length over 63 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc", length},
	{"Content-Length that comes round to 3", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 19446744073709551619\r\n\r\nabc", length},
	{"two equal Content-Lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", length},
	{"two Content-Lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 0\r\n\r\nabc", length},
	{"two Content-Lengths of 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", length},

	{"both framings", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", coding},
	{"both framings, the other way round", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding of identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", coding},
	{"Transfer-Encoding of gzip too", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding of xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding that is empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding with the Kelvin sign", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n", coding},
	{"Transfer-Encoding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", coding},

	{"no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", host},
	{"no fields", "GET / HTTP/1.1\r\n\r\n", host},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", host},
	{"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", host},
	{"two hosts in one", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", host},
	{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", host},
	{"Host with a port too large", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", host},
	{"Host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", host},
	{"Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", host},
	{"Host with a list", "GET / HTTP/1.0\r\nHost: a:80,b\r\n\r\n", host},
	{"Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", host},

	{"header of 64 KiB and a byte", padded(64<<10 + 1), tooLong},
	{"header that does not end", strings.Repeat("x", 70<<10), tooLong},
	{"field line that does not end", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 70<<10), tooLong},

	{"two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", emptyLines},
}

// padded is a request whose header has a length.
func padded(length int) string {
	begin, end := "GET /long HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n"
	return begin + strings.Repeat("x", length-len(begin)-len(end)) + end
}

// wellFormed are requests that are served, and their bodies.
var wellFormed = []struct{ name, request, body string }{
	{"plain", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"HTAB in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", ""},
	{"HTAB around a value", "GET /x HTTP/1.1\r\nHost:\ta\t\r\n\r\n", ""},
	{"no blank after the colon", "GET /x HTTP/1.1\r\nHost:a\r\n\r\n", ""},
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
	{"Content-Length with blanks", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \t3 \r\n\r\nabc", "abc"},
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
	{"no chunks", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
	{"an empty line first", "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", ""},
	{"header of 64 KiB", padded(64 << 10), ""},
}

const (
	before = "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"
	behind = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"
)

func TestMalformed(t *testing.T) {
	stage := newStage(t, true)
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			played := stage.play(t, []byte(test.request+behind))
			answers, requests := played.answers(t), played.log.requests
			if len(requests) != 1 || !strings.HasPrefix(requests[0].fault, test.fault) {
				t.Fatalf("the handler saw %+v", requests)
			}
			status := 400
			switch test.fault {
			case version:
				status = 505
			case tooLong:
				status = 431
			}
			if len(answers) != 1 || answers[0].status != status || !answers[0].close {
				t.Errorf("%+v", answers)
			}
			cut(t, stage, "", test.request, requests, answers)

			pipelined := stage.play(t, []byte(before+before+test.request+behind))
			if r := pipelined.log.requests; len(r) != 3 || r[0].target != "/before" || r[1].target != "/before" || r[2] != requests[0] {
				t.Errorf("after two good requests: %+v", r)
			}
			if a := pipelined.answers(t); len(a) != 3 || a[0].status != 200 || a[1].status != 200 || a[2] != answers[0] {
				t.Errorf("after two good requests: %+v", a)
			}
		})
	}
}

func TestWellFormed(t *testing.T) {
	stage := newStage(t, true)
	for _, test := range wellFormed {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			played := stage.play(t, []byte(before+test.request+behind))
			answers, requests := played.answers(t), played.log.requests
			if len(requests) != 3 || requests[0].target != "/before" || requests[2].target != "/behind" {
				t.Fatalf("the handler saw %+v", requests)
			}
			if r := requests[1]; r.fault != "" || r.broken || r.body != test.body {
				t.Errorf("%+v", r)
			}
			if len(answers) != 3 || answers[1].status != 200 {
				t.Errorf("%+v", answers)
			}
			cut(t, stage, before, test.request, requests, answers)
		})
	}
}

// cut plays a request, between what comes before it and another, byte by byte, and in two pieces cut at each of its
// positions: nothing may depend on it.
func cut(t *testing.T, stage *stage, first, request string, requests []request, answers []answer) {
	t.Helper()
	text := first + request + behind
	check := func(how string, at int, pieces ...[]byte) {
		t.Helper()
		played := stage.play(t, pieces...)
		if !slices.Equal(played.log.requests, requests) {
			t.Fatalf("%s %d: the handler saw %+v", how, at, played.log.requests)
		}
		if a := played.answers(t); !slices.Equal(a, answers) {
			t.Fatalf("%s %d: %+v", how, at, a)
		}
	}
	step := 1
	if len(text) > 1000 {
		step = len(text) / 16 // what is long is so for its length only
	} else {
		check("byte by byte", 0, pieces([]byte(text), []byte{0})...)
	}
	for at := len(first); at <= len(first)+len(request); at += step {
		check("cut at", at, []byte(text[:at]), []byte(text[at:]))
	}
}
