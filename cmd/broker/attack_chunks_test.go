package main

import (
	"strings"
	"testing"
)

// chunkedPost returns a chunked POST, followed by the smuggled request.
func chunkedPost(body string) string { return postThenSmuggled("Transfer-Encoding: chunked\r\n", body) }

// Two servers could read these chunked bodies differently: RFC 9112 section 7.1. The broker finds the fault only while it forwards the
// body; it then closes the connection to the API, so that the API never gets a complete request.
func TestRefusesMalformedChunks(t *testing.T) {
	t.Parallel()
	startAttackTarget(t).runAll(t, []attack{
		{"well formed", chunkedPost("4\r\nbody\r\n00\r\n\r\n"), bothForwarded},
		{"in capitals", chunkedPost("A\r\n0123456789\r\n0\r\n\r\n"), bothForwarded},
		{"with zeros in front", chunkedPost("0000004\r\nbody\r\n0\r\n\r\n"), bothForwarded},
		{"with an extension", chunkedPost("4;a=b;c=\"d\"\r\nbody\r\n0;e\r\n\r\n"), bothForwarded}, // is not forwarded: recordingAPI refuses extensions
		{"with a long extension", chunkedPost("4;a=" + strings.Repeat("b", 4_000) + "\r\nbody\r\n0\r\n\r\n"), bothForwarded},
		{"with a trailer", chunkedPost("0\r\nX: a\r\n\r\n"), bothForwarded},
		{"with a request for data", chunkedPost(smuggledChunk + "0\r\n\r\n"), bothForwarded},

		{"0x in front", chunkedPost("0x4\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"plus", chunkedPost("+4\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"minus", chunkedPost("-4\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"minus one", chunkedPost("-1\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"underscore", chunkedPost("0_4\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"size too large", chunkedPost("10000000000000004\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"size far too large", chunkedPost(strings.Repeat("f", 100) + "\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"size of 2^63", chunkedPost("8000000000000000\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"no size", chunkedPost("\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"no size but an extension", chunkedPost(";a\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"size in words", chunkedPost("four\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"blank before the size", chunkedPost(" 4\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"blank behind the size", chunkedPost("4 \r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"blank before an extension", chunkedPost("4 ;a\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"tab behind the size", chunkedPost("4\t\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"NUL behind the size", chunkedPost("4\x00\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"vertical tab behind the size", chunkedPost("4\v\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"bare LF behind the size", chunkedPost("4\nbody\r\n0\r\n\r\n"), malformedBody},
		{"bare CR behind the size", chunkedPost("4\rbody\r\n0\r\n\r\n"), malformedBody},
		{"CR twice behind the size", chunkedPost("4\r\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"bare LF in an extension", chunkedPost("4;a\nb\r\nbody\r\n0\r\n\r\n"), malformedBody}, // CVE-2025-22871
		{"bare LF ends an extension", chunkedPost("4;\nbody\r\n0\r\n\r\n"), malformedBody},
		{"bare LF in the last extension", chunkedPost("0;a\n\r\n"), malformedBody},
		{"bare CR in an extension", chunkedPost("4;a\rb\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"extension without end", chunkedPost("4;a=" + strings.Repeat("b", 5_000) + "\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"bare LF behind the data", chunkedPost("4\r\nbody\n0\r\n\r\n"), malformedBody},
		{"nothing behind the data", chunkedPost("4\r\nbody0\r\n\r\n"), malformedBody},
		{"more data than the size", chunkedPost("3\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"less data than the size", chunkedPost("5\r\nbody\r\n0\r\n\r\n"), malformedBody},
		{"two bytes in place of CR and LF", chunkedPost("4\r\nbodyxx0\r\n\r\n"), malformedBody},
		{"no empty line at the end", chunkedPost("0\r\n"), malformedBody},
		{"bare LF at the end", chunkedPost("0\r\n\n"), malformedBody},
		{"bare LF behind the last size", chunkedPost("0\n\r\n"), malformedBody},
		{"bare CR at the end", chunkedPost("0\r\n\r"), malformedBody},
		{"trailer without a colon", chunkedPost("0\r\nX\r\n\r\n"), malformedBody},
		{"trailer folded", chunkedPost("0\r\nX: a\r\n b\r\n\r\n"), malformedBody},
		{"trailer with a blank before the colon", chunkedPost("0\r\nX : a\r\n\r\n"), malformedBody},
		{"trailer with a bare LF", chunkedPost("0\r\nX: a\nY: b\r\n\r\n"), malformedBody},
		{"trailer with a bare CR", chunkedPost("0\r\nX: a\rY: b\r\n\r\n"), malformedBody},
		{"trailer with NUL", chunkedPost("0\r\nX: \x00\r\n\r\n"), malformedBody},
		{"trailer without end", chunkedPost("0\r\nX: " + strings.Repeat("a", 5_000) + "\r\n\r\n"), malformedBody},
		{"many small chunks with long extensions", chunkedPost(strings.Repeat("1;"+strings.Repeat("a", 3_000)+"\r\na\r\n", 100) + "0\r\n\r\n"), malformedBody},
	})
}
