package linkrewrite_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"etrusted-broker/proxy/linkrewrite"
)

// TestReaderReturnsEarly: decided bytes are returned without waiting for more input.
func TestReaderReturnsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it fails at once on a deadlock
		read, write := io.Pipe()
		allowed := make(chan string, 100)
		go func() {
			for text := range allowed {
				_, _ = io.WriteString(write, text)
			}
			_ = write.CloseWithError(io.ErrUnexpectedEOF)
		}()
		r := linkrewrite.NewReader(read, from, to)
		buffer := make([]byte, 512)
		for _, step := range []struct{ in, out string }{
			{`{`, `{`},
			{`"items`, `"items`},
			{`":"`, `":"`},
			{`x`, `x`},
			{`","b":"http`, `","b":"`},
			{`:`, ``},
			{` \`, `http: \`},
			{`"` + from + `","c":"`, `"` + from + `","c":"`},
			{from + `/`, to + `/`},
			{`a`, `a`},
			{`","d":"` + from, `","d":"`},
			{`.evil`, from + `.evil`},
			{`","e":"` + from + `\`, `","e":"`},
			{`u`, ``},
			{`0023`, to + `\u0023`},
			{`","f":"https:\u002f`, `","f":"`},
			{`\u002f,`, `https:\u002f\u002f,`},
			{`","g":"\ud83d`, `","g":"\ud83d`},
			{`","h":"\u006`, `","h":"`},
			{`9`, `\u0069`},
			{`","` + from, `","` + from},
			{`":1,"i":["https:`, `":1,"i":["`},
		} {
			allowed <- step.in
			if n, err := io.ReadFull(r, buffer[:len(step.out)]); string(buffer[:n]) != step.out || err != nil {
				t.Fatalf("after %s: %q, want %q; %v", step.in, buffer[:n], step.out, err)
			}
		}
		close(allowed)
		if got, err := readAll(r, 512); got != `https:` || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("rest: got %q, %v, want https:, unexpected EOF", got, err)
		}
	})
}

// stallingReader returns text and then 0, nil instead of io.EOF.
type stallingReader struct{ text []byte }

func (r *stallingReader) Read(p []byte) (int, error) {
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// undecidedPattern returns a regular expression for texts that end too early to decide whether they are a link: the
// base or a prefix of it, with or without escapes, and perhaps an incomplete escape.
func undecidedPattern() string {
	// part matches one character and then next, or an incomplete escape of the character.
	part := func(c rune, next string) string {
		whole, parts := []string{regexp.QuoteMeta(string(c))}, []string(nil)
		if c == '/' {
			whole = append(whole, `\\/`)
		}
		for _, escape := range []string{unicodeEscape(byte(c)), upperUnicodeEscape(byte(c))} {
			for n := 1; n < 6; n++ {
				parts = append(parts, regexp.QuoteMeta(escape[:n]))
			}
			whole = append(whole, regexp.QuoteMeta(escape))
		}
		return "(?:(?:" + strings.Join(whole, "|") + ")" + next + "|" + strings.Join(parts, "|") + ")?"
	}
	// The character after the base is incomplete.
	behind := `(?:\\(?:u(?:0(?:0(?:2|3)?)?)?)?)?`
	base := behind
	for i := len(from) - 1; i >= 0; i-- {
		base = part(rune(from[i]), base)
	}
	return base
}

// TestReaderHoldsBackUndecidedOnly: wherever the input pauses, only the start of a possible link is held back.
func TestReaderHoldsBackUndecidedOnly(t *testing.T) {
	undecided := regexp.MustCompile("^" + undecidedPattern() + "$")
	for _, test := range testBodies {
		for i := range len(test.body) + 1 {
			body := []byte(test.body[:i])
			r := linkrewrite.NewReader(&stallingReader{body}, from, to)
			var out bytes.Buffer
			buffer := make([]byte, 7)
			for {
				n, err := r.Read(buffer)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				out.Write(buffer[:n])
			}
			whole, _ := linkrewrite.JSON(body, from, to) // it decides at the end of the input
			held, ok := bytes.CutPrefix(whole, out.Bytes())
			if !ok || !undecided.Match(held) || len(held) > 6*len(from)+5 {
				t.Errorf("%s: of %q, %q is held back", test.name, body, held)
			}
		}
	}
}

// generatedReader returns rest and then part repeatedly, for left bytes.
type generatedReader struct {
	left       int
	rest, part string
}

func (g *generatedReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if g.rest == "" {
			if g.left <= 0 {
				return n, io.EOF
			}
			g.rest = g.part
			g.left -= len(g.part)
		}
		c := copy(p[n:], g.rest)
		g.rest, n = g.rest[c:], n+c
	}
	return n, nil
}

// TestReaderMemoryIsConstant: memory does not grow with the body.
func TestReaderMemoryIsConstant(t *testing.T) {
	much := 4 << 20 / sizeDivisor
	review := reviewPage(2000, "slashed") + `,"` + strings.Repeat("Gerne wieder! ", 10_000) + `",`
	buffer := make([]byte, 32<<10)
	for name, g := range map[string]*generatedReader{
		"200 MB of reviews": {left: 50 * much, part: review},
		"a long string":     {left: 10 * much, rest: `"` + from + `/`, part: strings.Repeat("a", 1<<16)},
		"many backslashes":  {left: much, part: strings.Repeat(`\\`, 1<<12)},
		"deep nesting":      {left: much, part: strings.Repeat(`[{"a":`, 1<<12)},
		"many links":        {left: much, part: `["` + from + `","` + from + `/"],`},
		"half a link":       {left: much, part: `"https:\u002f\u002f`},
	} {
		t.Run(name, func(t *testing.T) {
			r := linkrewrite.NewReader(g, from, to)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buffer)
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 256<<10 || err != nil || n < int64(much) {
				t.Errorf("got %d bytes allocated for %d, error %v; want at most 256 KiB", allocated, n, err)
			}
		})
	}
}

func TestReadsDoNotAllocate(t *testing.T) {
	r := linkrewrite.NewReader(&generatedReader{left: 1 << 40, part: reviewPage(2000, "slashed") + ","}, from, to)
	buffer := make([]byte, 5000)
	for range 100 { // grow the buffer
		_, _ = r.Read(buffer)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = r.Read(buffer) }); n != 0 {
		t.Errorf("got %v allocations per Read, want 0", n)
	}
}

// TestReaderReturnsErrorLast: an error comes after all bytes before it, and is permanent.
func TestReaderReturnsErrorLast(t *testing.T) {
	broken := errors.New("broken")
	for _, withLast := range []bool{false, true} {
		first := &chunkReader{chunks: [][]byte{[]byte(`["` + from + `","https:`)}, err: broken, withLast: withLast}
		r := linkrewrite.NewReader(first, from, to)
		if got, err := readAll(r, 4); got != `["`+to+`","https:` || !errors.Is(err, broken) {
			t.Errorf("got %q, %v", got, err)
		}
		first.chunks = [][]byte{[]byte("more")}
		if n, err := r.Read(make([]byte, 4)); n != 0 || !errors.Is(err, broken) {
			t.Errorf("second Read: got %d, %v, want 0, %v", n, err, broken)
		}
	}
}

// TestReaderWithLongBase: the buffer has space for any held-back base and for more input.
func TestReaderWithLongBase(t *testing.T) {
	long := "https://a/" + strings.Repeat("b", 40_000)
	body := `["` + afterBackslash(long, unicodeEscape) + `","` + afterBackslash(long, unicodeEscape) + `c"]`
	want := `["` + to + `","` + afterBackslash(long, unicodeEscape) + `c"]`
	var got bytes.Buffer
	// bufio.Reader fails if a Reader makes no progress.
	if _, err := got.ReadFrom(struct{ io.Reader }{bufio.NewReader(linkrewrite.NewReader(strings.NewReader(body), long, to))}); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got %d bytes that differ from want at %d", got.Len(), firstDifference(got.String(), want))
	}
}

// TestReaderIsConformant: Reader fulfils the contract of io.Reader.
func TestReaderIsConformant(t *testing.T) {
	for _, test := range testBodies {
		want, _ := linkrewrite.JSON([]byte(test.body), from, to)
		if err := iotest.TestReader(linkrewrite.NewReader(strings.NewReader(test.body), from, to), want); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	r := linkrewrite.NewReader(&stallingReader{[]byte(`"a`)}, from, to)
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("empty Read: got %d, %v, want 0, nil", n, err)
	}
}

// TestReaderReportsChange: Changed is true once a link was rewritten, not before.
func TestReaderReportsChange(t *testing.T) {
	r := linkrewrite.NewReader(strings.NewReader(`["a","`+from+`","b"]`), from, to)
	buffer := make([]byte, 6)
	if _, err := io.ReadFull(r, buffer); err != nil || r.Changed() {
		t.Errorf("got Changed before the link, or error %v", err)
	}
	if _, err := readAll(r, 9); err != nil || !r.Changed() {
		t.Errorf("want Changed after the link; error %v", err)
	}
}
