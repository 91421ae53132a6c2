package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// FuzzRequest sends any bytes. However they are cut into segments, the result must be the same, and net/http must read what the
// server has accepted in the same way: see expectSameInNetHTTP.
func FuzzRequest(f *testing.F) {
	for _, test := range malformed {
		if len(test.request) < 1000 {
			f.Add([]byte(before+test.request+behind), []byte{3, 40})
		}
	}
	for _, test := range wellFormed {
		if len(test.request) < 1000 {
			f.Add([]byte(test.request+behind), []byte{1, 1, 1, 30})
		}
	}
	f.Fuzz(func(t *testing.T, input, lengths []byte) { expectSameHoweverRead(t, input, lengths) })
}

// FuzzChunks sends any bytes as a chunked body.
func FuzzChunks(f *testing.F) {
	for _, test := range brokenChunks {
		f.Add([]byte(test.body), []byte{90, 2})
	}
	for _, test := range wellFormed {
		if body, found := strings.CutPrefix(test.request, chunkedRequest); found && len(body) < 5000 {
			f.Add([]byte(body), []byte{90, 2})
		}
	}
	f.Add([]byte("3;a=b\r\nabc\r\n0;c\r\nOne: 1\r\nTwo:\t2 \r\n\r\n"), []byte{0})
	f.Fuzz(func(t *testing.T, body, lengths []byte) {
		expectSameHoweverRead(t, slices.Concat([]byte(chunkedRequest), body, []byte(behind)), lengths)
	})
}

func expectSameHoweverRead(t *testing.T, input, lengths []byte) {
	t.Helper()
	whole := play(t, slices.Clone(input))
	inPieces := play(t, cut(input, lengths...)...)
	if !slices.Equal(whole.requests, inPieces.requests) {
		t.Fatalf("%q:\n%+v, but in pieces\n%+v", input, whole.requests, inPieces.requests)
	}
	responses := whole.responses(t)
	if other := inPieces.responses(t); !slices.Equal(responses, other) {
		t.Fatalf("%q:\n%v, but in pieces\n%v", input, responses, other)
	}
	if len(responses) != len(whole.requests) {
		t.Fatalf("%q: %d responses to %d requests", input, len(responses), len(whole.requests))
	}
	for i, r := range whole.requests {
		if isLast := i == len(whole.requests)-1; (r.malformed != "" || r.broken) && !isLast {
			t.Fatalf("%q: a request was served after a malformed one: %+v", input, whole.requests)
		}
	}
	expectSameInNetHTTP(t, input, whole.requests)
}

// expectSameInNetHTTP compares requests, one after the other, with those that http.ReadRequest finds in the same input. That
// each begins where the one before has ended is part of it. These differences are known:
//
//   - An empty line before a request is not accepted by ReadRequest.
//   - What follows CONNECT is not HTTP, and so is not compared.
//   - ReadRequest adds Cache-Control to Pragma, and limits what is not data in a chunked body.
//   - A malformed request, and a body that is broken, may be read in any way, except that the body begins in the same way.
func expectSameInNetHTTP(t *testing.T, input []byte, requests []seenRequest) {
	t.Helper()
	reader := bufio.NewReaderSize(bytes.NewReader(input), 64<<10) // trailers must fit
	for _, got := range requests {
		if got.malformed != "" {
			return
		}
		if first, _ := reader.Peek(2); string(first) == "\r\n" {
			_, _ = reader.Discard(2)
		}
		r, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatalf("%q:\n%+v was accepted, net/http says: %v", input, got, err)
		}
		want := got
		want.method, want.target, want.minorVersion, want.fields = r.Method, r.RequestURI, r.ProtoMinor, sortedFields(r.Header)
		if r.URL.Host == "" {
			want.host = r.Host
		}
		got.fields = sortedFields(parseFields(t, got.fields))
		if want.method == http.MethodConnect {
			if got != want {
				t.Fatalf("%q:\ngot  %+v\nwant %+v", input, got, want)
			}
			return
		}
		want.contentLength = r.ContentLength
		body, err := io.ReadAll(r.Body)
		switch {
		case got.broken:
			if !bytes.HasPrefix(body, []byte(got.body)) && !strings.HasPrefix(got.body, string(body)) {
				t.Fatalf("%q: got the body %q, net/http %q", input, got.body, body)
			}
		case err != nil && (strings.Contains(err.Error(), "too much non-data") || strings.Contains(err.Error(), "header line too long")):
			return
		default:
			want.body, want.broken = string(body), err != nil
			got.trailer, want.trailer = sortedFields(parseFields(t, got.trailer)), sortedFields(r.Trailer)
		}
		if got != want {
			t.Fatalf("%q:\ngot  %+v\nwant %+v", input, got, want)
		}
		if got.broken {
			return
		}
	}
}

// parseFields parses fields as seenRequest has them.
func parseFields(t *testing.T, fields string) http.Header {
	t.Helper()
	header := http.Header{}
	for fields = strings.TrimSuffix(strings.TrimPrefix(fields, "["), "]"); fields != ""; fields = strings.TrimPrefix(fields, " ") {
		var name, value string
		if _, err := fmt.Sscanf(fields, "{%q %q}", &name, &value); err != nil {
			t.Fatalf("%v in %s", err, fields)
		}
		header.Add(name, value)
		fields = fields[len(fmt.Sprintf("{%q %q}", name, value)):]
	}
	return header
}

// sortedFields returns a header without the fields that http.ReadRequest moves elsewhere or adds.
func sortedFields(header http.Header) string {
	for _, name := range []string{"Host", "Transfer-Encoding", "Trailer", "Content-Length", "Cache-Control"} {
		delete(header, name)
	}
	maps.DeleteFunc(header, func(_ string, values []string) bool { return len(values) == 0 }) // announced, but not sent
	return fmt.Sprintf("%q", header)
}

// No input makes the server allocate more than 8 times its length, apart from buffers of a fixed size.
func TestAllocatesInProportionToInput(t *testing.T) { // not parallel: it counts what the whole program allocates
	if brokertest.RaceDetector {
		t.Skip("with the race detector, a sync.Pool drops a part of what it gets")
	}
	const fixed = 256 << 10
	for name, input := range map[string]string{
		"many fields":   "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A:\r\n", 4090) + "\r\n",
		"header of 64k": padded(64 << 10),
		"endless line":  strings.Repeat("x", 70<<10),
		"trailers":      chunkedRequest + "0\r\n" + strings.Repeat("A:\r\n", 1000) + "\r\n",
		"one byte each": chunkedRequest + strings.Repeat("01\r\nx\r\n", 100000) + "0\r\n\r\n",
		"extensions":    chunkedRequest + strings.Repeat("1;"+strings.Repeat("e", 4000)+"\r\nx\r\n", 100) + "0\r\n\r\n",
		"pipelined":     strings.Repeat("GET / HTTP/1.1\r\nHost:a\r\n\r\n", 10000),
		"body":          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000000),
		"many lists":    "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat(",", 60000) + "\r\n\r\n",
		"many Expects":  "GET / HTTP/1.1\r\nHost: a\r\nExpect: " + strings.Repeat(",", 60000) + "\r\n\r\n",
		"absolute-form": "GET http://a/" + strings.Repeat("%41", 20000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		client := newScript([]byte(input))
		client.output.Grow(2 << 20)
		scratch := make([]byte, 4<<10)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		playOn(t, client, func(w *http1.ResponseWriter, r *http1.Request) {
			for r.Malformed == nil {
				if _, err := r.Body.Read(scratch); err != nil {
					break
				}
			}
			w.WriteHead(200, "OK", 0)
		})
		runtime.ReadMemStats(&after)
		got := int64(after.TotalAlloc-before.TotalAlloc) - int64(client.output.Len()) // playOn copies the output
		if limit := int64(8*len(input) + fixed); got > limit {
			t.Errorf("%s: %d bytes of input make it allocate %d bytes, want at most %d", name, len(input), got, limit)
		}
		t.Logf("%s: %d bytes in, %d allocated", name, len(input), got)
	}
}
