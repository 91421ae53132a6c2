package http1_test

import (
	"errors"
	"etrusted-broker/proxy/http1"
	"io"
	"strings"
	"testing"
)

const chunkedRequest = "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

var brokenChunks = []struct{ name, body, good string }{
	{"no size", "\r\nabc\r\n0\r\n\r\n", ""},
	{"size that is no number", "x\r\nabc\r\n0\r\n\r\n", ""},
	{"size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n", ""},
	{"size with a sign", "+3\r\nabc\r\n0\r\n\r\n", ""},
	{"size over 63 bits", "8000000000000000\r\nabc\r\n0\r\n\r\n", ""},
	{"size that overflows to 3", "10000000000000003\r\nabc\r\n0\r\n\r\n", ""},
	{"size over 62 bits", "4000000000000000\r\nabc\r\n0\r\n\r\n", ""},
	{"size of 17 digits", "00000000000000003\r\nabc\r\n0\r\n\r\n", ""},
	{"space before the size", " 3\r\nabc\r\n0\r\n\r\n", ""},
	{"space after the size", "3 \r\nabc\r\n0\r\n\r\n", ""},
	{"bare LF after the size", "3\nabc\r\n0\r\n\r\n", ""},
	{"bare CR after the size", "3\rabc\r\n0\r\n\r\n", ""},
	{"bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n", ""},
	{"bare CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n", ""},
	{"NUL in an extension", "3;a\x00\r\nabc\r\n0\r\n\r\n", ""},
	{"DEL in an extension", "3;a\x7f\r\nabc\r\n0\r\n\r\n", ""},
	// If the wrong byte were taken for the right one, all the rest would be well formed.
	{"no size at all", "\r\n\r\n", ""},
	{"CR and not LF after the size", "3\rXabc\r\n0\r\n\r\n", ""},
	{"not CR but LF after a chunk", "3\r\nabcX\n0\r\n\r\n", "abc"},
	{"CR and not LF after a chunk", "3\r\nabc\rX0\r\n\r\n", "abc"},
	{"an extension of 4 KiB", "3;" + strings.Repeat("a", 4<<10) + "\r\nabc\r\n0\r\n\r\n", ""},
	{"long extensions after much data", "10000\r\n" + strings.Repeat("x", 64<<10) + "\r\n" + strings.Repeat("1;"+strings.Repeat("a", 4000)+"\r\nx\r\n", 6) + "0\r\n\r\n", strings.Repeat("x", 64<<10+4)},
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
	{"space before the colon in the trailer", "3\r\nabc\r\n0\r\nA : a\r\n\r\n", "abc"},
	{"a trailer of 4 KiB", "3\r\nabc\r\n0\r\nA: " + strings.Repeat("a", 4<<10) + "\r\n\r\n", "abc"},
}

// Rows C16 and C18: the handler reads what is good, learns that the rest is not, and can still answer. Nothing behind it is
// read as a request.
func TestMalformedChunksAreAnError(t *testing.T) {
	for _, test := range brokenChunks {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := play(t, []byte(chunkedRequest+test.body+behind))
			responses := got.responses(t)
			if len(got.requests) != 1 || !got.requests[0].broken || got.requests[0].body != test.good {
				t.Fatalf("the handler saw %+v, want the body %q and an error", got.requests, test.good)
			}
			if len(responses) != 1 || responses[0].status != 422 || !responses[0].close {
				t.Errorf("the client saw %v, want 422 and Connection: close", responses)
			}
			expectSameWhenCut(t, 0, chunkedRequest+test.body+behind, got)
		})
	}
}

func TestTrailerSectionKeepsOrderAndCase(t *testing.T) {
	got := play(t, []byte(chunkedRequest+"0\r\nOne: 1\r\ntWo:\t2 \r\nOne:\r\n\r\n"))
	want := `[{"One" "1"} {"tWo" "2"} {"One" ""}]`
	if len(got.requests) != 1 || got.requests[0].trailer != want {
		t.Errorf("got %+v, want the trailer section %s", got.requests, want)
	}
}

// A body that ends early never looks complete.
func TestPartialBodyIsAnError(t *testing.T) {
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbod",
		chunkedRequest,
		chunkedRequest + "4",
		chunkedRequest + "4\r\nbod",
		chunkedRequest + "4\r\nbody",
		chunkedRequest + "4\r\nbody\r\n",
		chunkedRequest + "4\r\nbody\r\n0\r\n",
		chunkedRequest + "4\r\nbody\r\n0\r\nA: b\r\n",
		chunkedRequest + "4\r\nbody\r\n0\r\n\r",
	} {
		got := play(t, []byte(request))
		if len(got.requests) != 1 || !got.requests[0].broken {
			t.Errorf("%q: got %+v, want a broken body", request, got.requests)
		}
		expectSameWhenCut(t, 0, request, got)
	}
}

// Each body has its own limits and its own trailer section.
func TestBodiesOfConnectionAreIndependent(t *testing.T) {
	request := chunkedRequest + strings.Repeat("1;"+strings.Repeat("e", 3000)+"\r\nx\r\n", 4) + "0\r\nT: " + strings.Repeat("t", 3000) + "\r\n\r\n"
	got := play(t, []byte(request+request))
	if len(got.requests) != 2 || got.requests[0].broken || got.requests[0] != got.requests[1] {
		t.Errorf("got %+.300v, want two equal requests", got.requests)
	}
}

// A line of a chunked body that does not end is refused before it fills the memory.
func TestChunkedBodyNeedsLittleMemory(t *testing.T) {
	endless := strings.Repeat("a", 1<<20)
	for name, body := range map[string]string{
		"size":                        strings.Repeat("0", 1<<20),
		"extension":                   "1;" + endless,
		"extension one byte too long": "1;" + endless[:4<<10-1] + "\r\n" + endless,
		"trailer":                     "0\r\nA: " + endless,
		"trailer one byte too long":   "0\r\nA: " + endless[:4<<10-2] + "\r\n" + endless,
	} {
		client := newScript([]byte(chunkedRequest + body))
		playOn(t, client, func(w *http1.ResponseWriter, r *http1.Request) {
			if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, http1.ErrChunk) {
				t.Errorf("%s: got %v, want %v", name, err, http1.ErrChunk)
			}
			w.Close = true
			ok(w, r)
		})
		if client.asked > 32<<10 { // lingering reads 32 KiB at a time
			t.Errorf("%s: got a read of %d bytes, want at most 32 KiB", name, client.asked)
		}
	}
}

// The last bytes of a body come with its end, if that has arrived. An empty buffer gets nothing, and does not wait.
func TestReadReturnsEndWithLastBytes(t *testing.T) {
	for _, request := range []string{chunkedRequest + "4\r\nbody\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"} {
		playOn(t, newScript([]byte(request)), func(w *http1.ResponseWriter, r *http1.Request) {
			if n, err := r.Body.Read(nil); n != 0 || err != nil {
				t.Errorf("%q: got %d, %v for an empty buffer, want 0, nil", request, n, err)
			}
			if n, err := r.Body.Read(make([]byte, 100)); n != 4 || !errors.Is(err, io.EOF) || !r.Body.Complete() {
				t.Errorf("%q: got %d, %v, complete: %t, want 4, %v and true", request, n, err, r.Body.Complete(), io.EOF)
			}
			ok(w, r)
		})
	}
}
