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

// pieces is a reader that returns one piece a Read, and then the error; io.EOF if there is none. withLast has the error
// come together with the last piece.
type pieces struct {
	pieces   [][]byte
	err      error
	withLast bool
}

func (p *pieces) Read(into []byte) (int, error) {
	err := p.err
	if err == nil {
		err = io.EOF
	}
	if len(p.pieces) == 0 {
		return 0, err
	}
	n := copy(into, p.pieces[0])
	if p.pieces[0] = p.pieces[0][n:]; len(p.pieces[0]) == 0 {
		p.pieces = p.pieces[1:]
	}
	if p.withLast && len(p.pieces) == 0 {
		return n, err
	}
	return n, nil
}

// cut cuts text at random places.
func cut(text string, random *rand.Rand) [][]byte {
	var out [][]byte
	longest := 1 + random.IntN(64)
	for len(text) > 0 {
		n := min(len(text), random.IntN(longest+1)) // none at all, now and then
		out = append(out, []byte(text[:n]))
		text = text[n:]
	}
	return out
}

// readAll reads r to its end into buffers of that size. As with io.ReadAll, the end is no error.
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

// eachCut has a Reader read a body in all the ways in which it may arrive.
func eachCut(t *testing.T, body, from, to, want string) {
	t.Helper()
	check := func(inner *pieces, size int, how string, at any) {
		t.Helper()
		r := linkrewrite.NewReader(inner, from, to)
		got, err := readAll(r, size)
		if got != want || err != nil {
			t.Fatalf("%s %v, buffers of %d: %v\n got %q\nwant %q", how, at, size, err, got, want)
		}
		if _, changed := linkrewrite.JSON([]byte(body), from, to); r.Changed() != changed {
			t.Fatalf("%s %v: changed: %v", how, at, r.Changed())
		}
	}
	for i := range len(body) + 1 {
		check(&pieces{pieces: [][]byte{[]byte(body[:i]), []byte(body[i:])}, withLast: i%2 == 0}, 512, "cut at", i)
	}
	var bytewise [][]byte
	for i := range len(body) {
		bytewise = append(bytewise, []byte(body[i:i+1]))
	}
	for _, size := range []int{1, 2, 3, 7, 512} {
		check(&pieces{pieces: slices.Clone(bytewise)}, size, "byte by byte", "")
		check(&pieces{pieces: [][]byte{[]byte(body)}}, size, "whole", "")
		for seed := range uint64(5) {
			check(&pieces{pieces: cut(body, rand.New(rand.NewPCG(seed, 0))), withLast: seed%2 == 0}, size, "cut at random", seed)
		}
	}
}

func TestCuts(t *testing.T) {
	for _, test := range bodies {
		t.Run(test.name, func(t *testing.T) {
			want, _ := linkrewrite.JSON([]byte(test.body), from, to) // TestBodies looks at that
			eachCut(t, test.body, from, to, string(want))
		})
	}
}

// All of it in one body, so that what one part leaves behind meets the next.
func TestCutsOfAll(t *testing.T) {
	var all bytes.Buffer
	for _, test := range bodies[1:] {
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
		r := linkrewrite.NewReader(&pieces{pieces: cut(all.String(), rand.New(rand.NewPCG(seed, 1)))}, from, to)
		if got, err := readAll(r, 1+3*int(seed)); got != want || err != nil {
			t.Fatalf("%d: %v\n got %s\nwant %s", seed, err, got, want)
		}
	}
}
