package linkrewrite_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// chunkReader returns one chunk per Read, and then err, or io.EOF if it is nil. With withLast, the error comes together
// with the last chunk.
type chunkReader struct {
	chunks   [][]byte
	err      error
	withLast bool
}

func (p *chunkReader) Read(into []byte) (int, error) {
	err := p.err
	if err == nil {
		err = io.EOF
	}
	if len(p.chunks) == 0 {
		return 0, err
	}
	n := copy(into, p.chunks[0])
	if p.chunks[0] = p.chunks[0][n:]; len(p.chunks[0]) == 0 {
		p.chunks = p.chunks[1:]
	}
	if p.withLast && len(p.chunks) == 0 {
		return n, err
	}
	return n, nil
}

// splitRandomly splits text at random positions.
func splitRandomly(text string, random *rand.Rand) [][]byte {
	var out [][]byte
	longest := 1 + random.IntN(64)
	for len(text) > 0 {
		n := min(len(text), random.IntN(longest+1)) // sometimes 0
		out = append(out, []byte(text[:n]))
		text = text[n:]
	}
	return out
}

// readAll is io.ReadAll with a buffer of that size.
func readAll(r io.Reader, size int) (string, error) {
	var out bytes.Buffer
	buffer := make([]byte, size)
	for {
		n, err := r.Read(buffer)
		out.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
	}
}

// checkAllSplits checks that a Reader's result does not depend on how the body is split into reads.
func checkAllSplits(t *testing.T, rewriter linkrewrite.Rewriter, body, want string) {
	t.Helper()
	check := func(inner *chunkReader, size int, how string, at any) {
		t.Helper()
		r := rewriter.NewReader(inner)
		got, err := readAll(r, size)
		if got != want || err != nil {
			t.Fatalf("%s %v, buffers of %d: %v\n got %q\nwant %q", how, at, size, err, got, want)
		}
	}
	for i := range len(body) + 1 {
		check(&chunkReader{chunks: [][]byte{[]byte(body[:i]), []byte(body[i:])}, withLast: i%2 == 0}, 512, "cut at", i)
	}
	var bytewise [][]byte
	for i := range len(body) {
		bytewise = append(bytewise, []byte(body[i:i+1]))
	}
	for _, size := range []int{1, 2, 3, 7, 512} {
		check(&chunkReader{chunks: slices.Clone(bytewise)}, size, "byte by byte", "")
		check(&chunkReader{chunks: [][]byte{[]byte(body)}}, size, "whole", "")
		for seed := range uint64(5) {
			check(&chunkReader{chunks: splitRandomly(body, rand.New(rand.NewPCG(seed, 0))), withLast: seed%2 == 0}, size, "cut at random", seed)
		}
	}
}

func TestResultIsIndependentOfSplits(t *testing.T) {
	for _, test := range testBodies {
		t.Run(test.name, func(t *testing.T) {
			want, _ := rewriter.JSON([]byte(test.body)) // checked by TestRewritesJSON
			checkAllSplits(t, rewriter, test.body, string(want))
		})
	}
}

// TestConcatenatedBodies has all bodies in one, so that the state after one affects the next.
func TestConcatenatedBodies(t *testing.T) {
	var all bytes.Buffer
	for _, test := range testBodies[1:] {
		if test.name != "byte order mark" && test.name != "lines" {
			all.WriteString(`{"` + from + `":[`)
			if test.name != "values without blanks" {
				all.WriteString(test.body)
			}
			all.WriteString(`],"` + from + `":0}`)
		}
	}
	want, ok := reference(all.Bytes(), from, to)
	if !ok {
		t.Fatal("not JSON")
	}
	for seed := range uint64(100) {
		r := rewriter.NewReader(&chunkReader{chunks: splitRandomly(all.String(), rand.New(rand.NewPCG(seed, 1)))})
		if got, err := readAll(r, 1+3*int(seed)); got != want || err != nil {
			t.Fatalf("%d: %v\n got %s\nwant %s", seed, err, got, want)
		}
	}
}
