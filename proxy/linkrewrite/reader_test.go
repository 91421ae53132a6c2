package linkrewrite_test

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"runtime"
	"slices"
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
		r := rewriter.NewReader(read)
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
			{`","` + from + `/`, `","`},
			{`"`, ``},
			{` `, ``},
			{`:`, from + `/" :`},
			{`["` + from + `/","` + from, `["` + to + `/","`},
			{`/"`, ``},
			{`,`, to + `/",`},
			{`{"` + from, `{"` + from},
			{`":["HTTP`, `":["`},
			{`x"`, `HTTPx"`},
			{`,"\u00`, `,"`},
			{`fc`, `\u00fc`},
			{`","j":` + "\n\t" + `"` + from + `/`, `","j":` + "\n\t" + `"` + to + `/`},
			{`","k":["` + from + `/`, `","k":["` + to + `/`},
			{`","\`, `","`},
			{`n","https:`, `\n","`},
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

// TestReaderReturnsRecordAtOnce: what one read of the body gets, a TLS record, is one read of the rewritten body: each of them
// becomes a write.
func TestReaderReturnsRecordAtOnce(t *testing.T) {
	const size, records = 16 << 10, 20
	body := apiResponse(size*records, 2000)
	chunks := slices.Collect(slices.Chunk(body, size))
	r := rewriter.NewReader(&chunkReader{chunks: chunks})
	reads := 0
	for buffer := make([]byte, 18<<10); ; {
		n, err := r.Read(buffer)
		if err != nil {
			break
		}
		if n > 0 {
			reads++
		}
	}
	if reads > len(chunks)+1 { // the last bytes may be decided only by the end
		t.Errorf("got %d reads, want one for each of %d records", reads, len(chunks))
	}
}

// stallingReader returns text and then 0, nil instead of io.EOF.
type stallingReader struct{ text []byte }

func (r *stallingReader) Read(p []byte) (int, error) {
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// continuations returns texts that may follow the start of a link: the rest of each origin, from each byte, if necessary
// after the rest of an escape; and then the end of a key, or of a value.
func continuations() []string {
	plain := []string{`":`, `"]`, `/":`, `/"]`, `\"":`}
	var escaped []string
	for _, origin := range []string{from, from + ":443", "http://api.etrusted.com:80", "//api.etrusted.com"} {
		for i := range len(origin) + 1 {
			plain = append(plain, origin[i:]+`"]`)
			for _, c := range []byte((origin + "/")[i:min(len(origin)+1, i+1)]) {
				for n := 1; n < 6; n++ {
					escaped = append(escaped, unicodeEscape(c)[n:]+strings.TrimPrefix(origin[i:], string(c))+`"]`, upperUnicodeEscape(c)[n:]+strings.TrimPrefix(origin[i:], string(c))+`"]`)
				}
			}
		}
	}
	return append(plain, escaped...)
}

// TestReaderHoldsBackUndecidedOnly: wherever the input pauses, all bytes are returned that do not depend on what follows.
func TestReaderHoldsBackUndecidedOnly(t *testing.T) {
	next := continuations()
	incompleteEscape := regexp.MustCompile(`\\u00[0-9a-f]$`) // is not decoded, although some are decided
	r := linkrewrite.NewOrigin(from).To("new")               // shares no byte with the origin
	for _, test := range testBodies {
		for i := range len(test.body) + 1 {
			body := test.body[:i]
			got := readAvailable(t, r.NewReader(&stallingReader{[]byte(body)}))
			var common []byte
			for i, text := range next {
				whole, _ := r.JSON([]byte(body + text))
				if i == 0 {
					common = whole
				}
				common = common[:firstDifference(string(common), string(whole))]
				if len(common) <= len(got) {
					break
				}
			}
			if string(common) != got && !incompleteEscape.Match(common) {
				t.Errorf("%s: of %q,\n got %q\nwant %q", test.name, body, got, common)
			}
		}
	}
}

// readAvailable reads until r returns 0, nil.
func readAvailable(t *testing.T, r io.Reader) string {
	t.Helper()
	var out bytes.Buffer
	buffer := make([]byte, 7)
	for {
		n, err := r.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return out.String()
		}
		out.Write(buffer[:n])
	}
}

var slashedResponse = strings.ReplaceAll(string(apiResponse(2000, 4)), "/", `\/`)

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
	review := slashedResponse + `,"` + strings.Repeat("Gerne wieder! ", 10_000) + `",`
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
			r := rewriter.NewReader(g)
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
	r := rewriter.NewReader(&generatedReader{left: 1 << 40, part: slashedResponse + ","})
	buffer := make([]byte, 5000)
	_, _ = r.Read(buffer) // get a buffer
	if n := testing.AllocsPerRun(1000, func() { _, _ = r.Read(buffer) }); n != 0 {
		t.Errorf("got %v allocations per Read, want 0", n)
	}
}

// TestReaderReturnsErrorLast: an error comes after all bytes before it, and is permanent.
func TestReaderReturnsErrorLast(t *testing.T) {
	broken := errors.New("broken")
	for _, withLast := range []bool{false, true} {
		first := &chunkReader{chunks: [][]byte{[]byte(`["` + from + `","https:`)}, err: broken, withLast: withLast}
		r := rewriter.NewReader(first)
		if got, err := readAll(r, 4); got != `["`+to+`","https:` || !errors.Is(err, broken) {
			t.Errorf("got %q, %v", got, err)
		}
		first.chunks = [][]byte{[]byte("more")}
		if n, err := r.Read(make([]byte, 4)); n != 0 || !errors.Is(err, broken) {
			t.Errorf("second Read: got %d, %v, want 0, %v", n, err, broken)
		}
	}
}

// TestReaderIsConformant: Reader fulfils the contract of io.Reader.
func TestReaderIsConformant(t *testing.T) {
	for _, test := range testBodies {
		want, _ := rewriter.JSON([]byte(test.body))
		if err := iotest.TestReader(rewriter.NewReader(strings.NewReader(test.body)), want); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	r := rewriter.NewReader(&stallingReader{[]byte(`"a`)})
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("empty Read: got %d, %v, want 0, nil", n, err)
	}
}
