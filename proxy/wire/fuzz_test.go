package wire_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// FuzzWire sends any bytes. How they are cut must make no difference; what reaches the handler must be what net/http would
// have made of them alone, up to the first fault; and every answer must be the handler's.
func FuzzWire(f *testing.F) {
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
	for _, test := range brokenChunks {
		f.Add([]byte(chunkedRequest+test.body+behind), []byte{90, 2})
	}
	strict, plain := newStage(f, true), newStage(f, false)

	f.Fuzz(func(t *testing.T, input, cuts []byte) {
		whole := strict.play(t, slices.Clone(input))
		if inPieces := strict.play(t, pieces(input, cuts)...); !slices.Equal(inPieces.log.requests, whole.log.requests) {
			t.Fatalf("%q:\n%+v, but in pieces\n%+v", input, whole.log.requests, inPieces.log.requests)
		} else if a, b := whole.answers(t), inPieces.answers(t); !slices.Equal(a, b) {
			t.Fatalf("%q:\n%+v, but in pieces\n%+v", input, a, b)
		}
		alone := plain.play(t, unled(input, whole.read))
		checkPrefix(t, input, whole.log.requests, alone.log.requests)
		checkAnswers(t, input, whole)
	})
}

// pieces cuts input into pieces of the lengths that cuts says, over and over.
func pieces(input, cuts []byte) (pieces [][]byte) {
	for i := 0; len(input) > 0; i++ {
		n := len(input)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		pieces = append(pieces, slices.Clone(input[:n]))
		input = input[n:]
	}
	return pieces
}

// unled takes from the input the empty lines before requests that were not let through: that is all that may be missing
// from what was, before the first fault.
func unled(input, read []byte) []byte {
	input = slices.Clone(input)
	for {
		same := 0
		for same < min(len(input), len(read)) && input[same] == read[same] {
			same++
		}
		if same == len(read) || !bytes.HasPrefix(input[same:], []byte("\r\n")) || bytes.HasPrefix(read[same:], []byte("\r")) {
			return input
		}
		input = slices.Delete(input, same, same+2)
	}
}

// checkPrefix compares requests with those that net/http alone saw.
func checkPrefix(t *testing.T, input []byte, got, alone []request) {
	for i, r := range got {
		switch {
		case r.fault != "":
			if i != len(got)-1 {
				t.Fatalf("%q: a request after a fault: %+v", input, got)
			}
		case i >= len(alone):
			t.Fatalf("%q: net/http saw %d requests, not %+v", input, len(alone), got)
		case r.broken:
			if i != len(got)-1 {
				t.Fatalf("%q: a request after a broken body: %+v", input, got)
			}
			if !strings.HasPrefix(alone[i].body, r.body) {
				t.Fatalf("%q: body %q, and %q in net/http", input, r.body, alone[i].body)
			}
			r.body, r.broken, r.trailer = alone[i].body, alone[i].broken, alone[i].trailer
			fallthrough
		default:
			if r != alone[i] {
				t.Fatalf("%q:\n%+v, and in net/http\n%+v", input, r, alone[i])
			}
		}
	}
}

// checkAnswers looks for answers that are not the handler's. There are three kinds: to an Expect that nobody can fulfil, to a
// Trailer that names what may be none, and to first bytes that nothing makes a request of.
func checkAnswers(t *testing.T, input []byte, played *script) {
	answers := played.answers(t)
	byHandler := 0
	for _, a := range answers {
		if a.byHandler {
			byHandler++
			continue
		}
		trailer := bytes.Contains(bytes.ToLower(input), []byte("trailer"))
		odd := bytes.Contains(played.read, []byte("Etrusted-Broker-Malformed"))
		if a.status != 417 && (a.status != 400 || !trailer && !odd) {
			t.Fatalf("%q: net/http answered %+v", input, a)
		}
	}
	if byHandler != len(played.log.requests) {
		t.Fatalf("%q: %d answers to %d requests", input, byHandler, len(played.log.requests))
	}
}
