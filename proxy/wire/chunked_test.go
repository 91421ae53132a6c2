package wire_test

import (
	"io"
	"strings"
	"testing"
)

const chunkedRequest = "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

// brokenChunks are bodies in chunks that are not well formed, and what comes of them before it shows.
var brokenChunks = []struct{ name, body, good string }{
	{"no size", "\r\nabc\r\n0\r\n\r\n", ""},
	{"size that is no number", "x\r\nabc\r\n0\r\n\r\n", ""},
	{"size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n", ""},
	{"size with a sign", "+3\r\nabc\r\n0\r\n\r\n", ""},
	{"size over 63 bits", "8000000000000000\r\nabc\r\n0\r\n\r\n", ""},
	{"size that comes round to 3", "10000000000000003\r\nabc\r\n0\r\n\r\n", ""},
	{"blank before the size", " 3\r\nabc\r\n0\r\n\r\n", ""},
	{"blank after the size", "3 \r\nabc\r\n0\r\n\r\n", ""},
	{"bare LF after the size", "3\nabc\r\n0\r\n\r\n", ""},
	{"bare CR after the size", "3\rabc\r\n0\r\n\r\n", ""},
	{"bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n", ""},
	{"bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n", ""},
	{"NUL in an extension", "3;a\x00\r\nabc\r\n0\r\n\r\n", ""},
	{"DEL in an extension", "3;a\x7f\r\nabc\r\n0\r\n\r\n", ""},
	// Were the one byte taken for what should be there, all the rest would be well formed.
	{"no size at all", "\r\n\r\n", ""},
	{"CR and not LF after the size", "3\rXabc\r\n0\r\n\r\n", ""},
	{"not CR but LF after a chunk", "3\r\nabcX\n0\r\n\r\n", "abc"},
	{"CR and not LF after a chunk", "3\r\nabc\rX0\r\n\r\n", "abc"},
	{"an extension of 4 KiB", "3;" + strings.Repeat("a", 4<<10) + "\r\nabc\r\n0\r\n\r\n", ""},
	{"chunk longer than its size", "3\r\nabcd\r\n0\r\n\r\n", "abc"},
	{"chunk shorter than its size", "5\r\nabc\r\n0\r\n\r\n", "abc\r\n"},
	{"bare LF after a chunk", "3\r\nabc\n0\r\n\r\n", "abc"},
	{"bare CR after a chunk", "3\r\nabc\r0\r\n\r\n", "abc"},
	{"bare LF after the last chunk", "3\r\nabc\r\n0\n\r\n", "abc"},
	{"bare LF at the end", "3\r\nabc\r\n0\r\n\n", "abc"},
	{"bare CR at the end", "3\r\nabc\r\n0\r\n\rX", "abc"},
	{"bare LF in the trailer", "3\r\nabc\r\n0\r\nA: a\n\r\n", "abc"},
	{"bare LF after the trailer", "3\r\nabc\r\n0\r\nA: a\r\n\n", "abc"},
	{"bare CR in the trailer", "3\r\nabc\r\n0\r\nA: a\rb\r\n\r\n", "abc"},
	{"bare CR after the trailer", "3\r\nabc\r\n0\r\nA: a\r\n\rX\r\n\r\n", "abc"},
	{"folding in the trailer", "3\r\nabc\r\n0\r\nA: a\r\n b\r\n\r\n", "abc"},
	{"NUL in the trailer", "3\r\nabc\r\n0\r\nA: \x00\r\n\r\n", "abc"},
	{"no colon in the trailer", "3\r\nabc\r\n0\r\nA\r\n\r\n", "abc"},
	{"blank before the colon in the trailer", "3\r\nabc\r\n0\r\nA : a\r\n\r\n", "abc"},
	{"a trailer of 4 KiB", "3\r\nabc\r\n0\r\nA: " + strings.Repeat("a", 4<<10) + "\r\n\r\n", "abc"},
}

// The handler reads what is good, learns that the rest is not, and can still answer.
func TestBrokenChunks(t *testing.T) {
	stage := newStage(t, true)
	for _, test := range brokenChunks {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			played := stage.play(t, []byte(chunkedRequest+test.body+behind))
			requests, answers := played.log.requests, played.answers(t)
			if len(requests) != 1 || !requests[0].broken || requests[0].body != test.good {
				t.Fatalf("the handler saw %+v", requests)
			}
			if len(answers) != 1 || answers[0].status != 422 || !answers[0].close {
				t.Errorf("%+v", answers)
			}
			cut(t, stage, "", chunkedRequest+test.body, requests, answers)
			// net/http finds most of them itself. It must have no say in it.
			read, err := io.ReadAll(reader(newScript([]byte(chunkedRequest + test.body + behind))))
			if rest, poisoned := strings.CutSuffix(string(read), "\r\r\nx\r\n\r\n"); err != nil || !poisoned || !strings.HasPrefix(chunkedRequest+test.body, rest) {
				t.Errorf("%v, %q", err, read)
			}
		})
	}
}

func TestTrailerArrives(t *testing.T) {
	stage := newStage(t, true)
	played := stage.play(t, []byte(chunkedRequest+"0\r\nOne: 1\r\nTwo:\t2 \r\n\r\n"))
	if r := played.log.requests; len(r) != 1 || r[0].trailer != "map[One:[1] Two:[2]]" {
		t.Errorf("%+v", r)
	}
}
