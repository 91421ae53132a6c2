package linkrewrite_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// randomReader returns a text in random parts, some of which are empty, and counts its reads.
type randomReader struct {
	text   []byte
	random *rand.Rand
	reads  int
}

func (r *randomReader) Read(p []byte) (int, error) {
	r.reads++
	n := copy(p, r.text[:min(len(r.text), r.random.IntN(100))])
	if r.text = r.text[n:]; len(r.text) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// A caller flushes what it has before a Read that may wait, but not before others.
func TestReaderReadsFromBodyOnlyIfNothingIsPending(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		body := apiResponse(2000, 200)
		source := &randomReader{text: body, random: random}
		r := rewriter.NewReader(source)
		var got []byte
		for buffer := make([]byte, 100); ; {
			before, pending := source.reads, r.Pending()
			n, err := r.Read(buffer[:1+random.IntN(len(buffer))])
			got = append(got, buffer[:n]...)
			if most := map[bool]int{false: 1}[pending]; source.reads-before > most {
				t.Fatalf("seed %d: got %d reads of the body, want at most %d", seed, source.reads-before, most)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if !pending && source.reads == before {
				t.Fatalf("seed %d: got no read of the body, want one, since nothing was pending", seed)
			}
		}
		if want, _ := rewriter.JSON(body); string(got) != string(want) {
			t.Fatalf("seed %d: got another text than JSON returns", seed)
		}
	}
}
