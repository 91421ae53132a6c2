package main

import "strings"

// inChunks is a chunked POST with a second request behind it.
func inChunks(body string) string { return framed("Transfer-Encoding: chunked\r\n", body) }

// chunkAttacks are bodies in chunks that two servers could read differently: RFC 9112 section 7.1. What is wrong shows
// only while the request is being sent on: what the API has been sent by then is broken off, and is no request.
var chunkAttacks = []attack{
	{"well formed", inChunks("4\r\nbody\r\n00\r\n\r\n"), then},
	{"in capitals", inChunks("A\r\n0123456789\r\n0\r\n\r\n"), then},
	{"with zeros in front", inChunks("0000004\r\nbody\r\n0\r\n\r\n"), then},
	{"with an extension", inChunks("4;a=b;c=\"d\"\r\nbody\r\n0;e\r\n\r\n"), then}, // is not sent on: see tape
	{"with a long extension", inChunks("4;a=" + strings.Repeat("b", 4_000) + "\r\nbody\r\n0\r\n\r\n"), then},
	{"with a trailer", inChunks("0\r\nX: a\r\n\r\n"), then},
	{"with a request for data", inChunks(smuggledChunk + "0\r\n\r\n"), then},

	{"0x in front", inChunks("0x4\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"plus", inChunks("+4\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"minus", inChunks("-4\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"minus one", inChunks("-1\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"underscore", inChunks("0_4\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"size too large", inChunks("10000000000000004\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"size far too large", inChunks(strings.Repeat("f", 100) + "\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"size of 2^63", inChunks("8000000000000000\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"no size", inChunks("\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"no size but an extension", inChunks(";a\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"size in words", inChunks("four\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"blank before the size", inChunks(" 4\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"blank behind the size", inChunks("4 \r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"blank before an extension", inChunks("4 ;a\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"tab behind the size", inChunks("4\t\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"NUL behind the size", inChunks("4\x00\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"vertical tab behind the size", inChunks("4\v\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"bare LF behind the size", inChunks("4\nbody\r\n0\r\n\r\n"), brokenOff},
	{"bare CR behind the size", inChunks("4\rbody\r\n0\r\n\r\n"), brokenOff},
	{"CR twice behind the size", inChunks("4\r\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"bare LF in an extension", inChunks("4;a\nb\r\nbody\r\n0\r\n\r\n"), brokenOff}, // CVE-2025-22871
	{"bare LF ends an extension", inChunks("4;\nbody\r\n0\r\n\r\n"), brokenOff},
	{"bare LF in the last extension", inChunks("0;a\n\r\n"), brokenOff},
	{"bare CR in an extension", inChunks("4;a\rb\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"extension without end", inChunks("4;a=" + strings.Repeat("b", 5_000) + "\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"bare LF behind the data", inChunks("4\r\nbody\n0\r\n\r\n"), brokenOff},
	{"nothing behind the data", inChunks("4\r\nbody0\r\n\r\n"), brokenOff},
	{"more data than said", inChunks("3\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"less data than said", inChunks("5\r\nbody\r\n0\r\n\r\n"), brokenOff},
	{"two bytes in place of CR and LF", inChunks("4\r\nbodyxx0\r\n\r\n"), brokenOff},
	{"no empty line at the end", inChunks("0\r\n"), brokenOff},
	{"bare LF at the end", inChunks("0\r\n\n"), brokenOff},
	{"bare LF behind the last size", inChunks("0\n\r\n"), brokenOff},
	{"bare CR at the end", inChunks("0\r\n\r"), brokenOff},
	{"trailer without a colon", inChunks("0\r\nX\r\n\r\n"), brokenOff},
	{"trailer folded", inChunks("0\r\nX: a\r\n b\r\n\r\n"), brokenOff},
	{"trailer with a blank before the colon", inChunks("0\r\nX : a\r\n\r\n"), brokenOff},
	{"trailer with a bare LF", inChunks("0\r\nX: a\nY: b\r\n\r\n"), brokenOff},
	{"trailer with a bare CR", inChunks("0\r\nX: a\rY: b\r\n\r\n"), brokenOff},
	{"trailer with NUL", inChunks("0\r\nX: \x00\r\n\r\n"), brokenOff},
	{"trailer without end", inChunks("0\r\nX: " + strings.Repeat("a", 5_000) + "\r\n\r\n"), brokenOff},
	{"many small chunks with long extensions", inChunks(strings.Repeat("1;"+strings.Repeat("a", 3_000)+"\r\na\r\n", 100) + "0\r\n\r\n"), brokenOff},
}
