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

// A client that shows what has come so far must not wait for what has not.
func TestNothingIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which ends at once when all wait for each other
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
			t.Errorf("the rest: %q %v", got, err)
		}
	})
}

// untilDry is a reader of text that has nothing more for now, rather than an end.
type untilDry struct{ text []byte }

func (r *untilDry) Read(p []byte) (int, error) {
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

// beginningOfALink is a regular expression for every text that ends before it shows whether it is one: a part of the base,
// or all of it, in any spelling, and perhaps a part of the spelling of a character.
func beginningOfALink() string {
	// part matches one character in full and then what next does, or the beginning of its spelling and then nothing.
	part := func(c rune, next string) string {
		whole, parts := []string{regexp.QuoteMeta(string(c))}, []string(nil)
		if c == '/' {
			whole = append(whole, `\\/`)
		}
		for _, escape := range []string{unicode(byte(c)), upperUnicode(byte(c))} {
			for n := 1; n < 6; n++ {
				parts = append(parts, regexp.QuoteMeta(escape[:n]))
			}
			whole = append(whole, regexp.QuoteMeta(escape))
		}
		return "(?:(?:" + strings.Join(whole, "|") + ")" + next + "|" + strings.Join(parts, "|") + ")?"
	}
	// What follows the base is never there in full.
	behind := `(?:\\(?:u(?:0(?:0(?:2|3)?)?)?)?)?`
	base := behind
	for i := len(from) - 1; i >= 0; i-- {
		base = part(rune(from[i]), base)
	}
	return base
}

// Wherever a body pauses, no more is held back than what may yet be a link.
func TestHeldBack(t *testing.T) {
	undecided := regexp.MustCompile("^" + beginningOfALink() + "$")
	for _, test := range bodies {
		for i := range len(test.body) + 1 {
			body := []byte(test.body[:i])
			r := linkrewrite.NewReader(&untilDry{body}, from, to)
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
			whole, _ := linkrewrite.JSON(body, from, to) // which takes what is undecided for decided
			held, ok := bytes.CutPrefix(whole, out.Bytes())
			if !ok || !undecided.Match(held) || len(held) > 6*len(from)+5 {
				t.Errorf("%s: of %q, %q is held back", test.name, body, held)
			}
		}
	}
}

// generated is a reader of so many bytes that are made while they are read: rest, and then part again and again.
type generated struct {
	left       int
	rest, part string
}

func (g *generated) Read(p []byte) (int, error) {
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

// The memory that is needed does not depend on the body, whatever that is made of.
func TestMemoryIsConstant(t *testing.T) {
	much := 4 << 20 / fewer
	review := reviews(2000, "slashed") + `,"` + strings.Repeat("Gerne wieder! ", 10_000) + `",`
	buffer := make([]byte, 32<<10)
	for name, g := range map[string]*generated{
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
				t.Errorf("%d bytes were allocated for %d; %v", allocated, n, err)
			}
		})
	}
}

func TestReadsDoNotAllocate(t *testing.T) {
	r := linkrewrite.NewReader(&generated{left: 1 << 40, part: reviews(2000, "slashed") + ","}, from, to)
	buffer := make([]byte, 5000)
	for range 100 { // until the buffer has grown
		_, _ = r.Read(buffer)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = r.Read(buffer) }); n != 0 {
		t.Errorf("%v allocations a Read", n)
	}
}

// An error of the stream comes behind everything that came before it, and stays, whatever comes behind it.
func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, withLast := range []bool{false, true} {
		first := &pieces{pieces: [][]byte{[]byte(`["` + from + `","https:`)}, err: broken, withLast: withLast}
		r := linkrewrite.NewReader(first, from, to)
		if got, err := readAll(r, 4); got != `["`+to+`","https:` || !errors.Is(err, broken) {
			t.Errorf("%q %v", got, err)
		}
		first.pieces = [][]byte{[]byte("more")}
		if n, err := r.Read(make([]byte, 4)); n != 0 || !errors.Is(err, broken) {
			t.Errorf("again: %d %v", n, err)
		}
	}
}

// The buffer holds what must be kept back of any base, and room to read on.
func TestLongBase(t *testing.T) {
	long := "https://a/" + strings.Repeat("b", 40_000)
	body := `["` + escaped(long, unicode) + `","` + escaped(long, unicode) + `c"]`
	want := `["` + to + `","` + escaped(long, unicode) + `c"]`
	var got bytes.Buffer
	// A bufio.Reader gives up on a Reader that makes no progress.
	if _, err := got.ReadFrom(struct{ io.Reader }{bufio.NewReader(linkrewrite.NewReader(strings.NewReader(body), long, to))}); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("%d bytes that differ at %d", got.Len(), differs(got.String(), want))
	}
}

// A Reader does what the documentation of io.Reader asks for, which is more than its users mostly rely on.
func TestIsAReader(t *testing.T) {
	for _, test := range bodies {
		want, _ := linkrewrite.JSON([]byte(test.body), from, to)
		if err := iotest.TestReader(linkrewrite.NewReader(strings.NewReader(test.body), from, to), want); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	r := linkrewrite.NewReader(&untilDry{[]byte(`"a`)}, from, to)
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// Changed tells what is known so far.
func TestChanged(t *testing.T) {
	r := linkrewrite.NewReader(strings.NewReader(`["a","`+from+`","b"]`), from, to)
	buffer := make([]byte, 6)
	if _, err := io.ReadFull(r, buffer); err != nil || r.Changed() {
		t.Errorf("too early; %v", err)
	}
	if _, err := readAll(r, 9); err != nil || !r.Changed() {
		t.Errorf("not at all; %v", err)
	}
}
