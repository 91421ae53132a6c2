package linkrewrite_test

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// FuzzReader reads any bytes, split anywhere. The result must not depend on the splits, must equal that of the
// reference if the input is JSON, and must differ from the input in replaced bases only.
//
// The base is short, so that the fuzzer finds it. Inputs with the new base are skipped.
func FuzzReader(f *testing.F) {
	const from, to = "h://a.b", "new:/base"
	shorten := strings.NewReplacer(
		`https:\u002f\u002f`, `h:\u002f/`, "https:", "h:", "api.etrusted.com", "a.b", slashedFrom, `h:\/\/a.b`, escapedFrom, afterBackslash(from, unicodeEscape),
	)
	for i, test := range testBodies {
		f.Add([]byte(shorten.Replace(test.body)), uint64(i), uint16(i))
	}
	for _, body := range []string{
		`["h://a.b`, `{"a" "h://a.b/"]}"h:\/\/a.b"`, `["h:\u002f\u002`, `["h://a.b\`, `]}[{,:,"h://a.b"`, `"h://a.b\u002fx\"h://a.b"`,
	} {
		f.Add([]byte(body), uint64(1), uint16(3))
	}

	var spelled strings.Builder
	for _, c := range []byte(from) {
		spelled.WriteString("(?:" + regexp.QuoteMeta(string(c)) + "|" + regexp.QuoteMeta(unicodeEscape(c)) + "|" + regexp.QuoteMeta(upperUnicodeEscape(c)))
		if c == '/' {
			spelled.WriteString(`|\\/`)
		}
		spelled.WriteString(")")
	}
	base := regexp.MustCompile(`^` + spelled.String())
	link := regexp.MustCompile(`^"` + spelled.String() + `(?:["/?#]|\\/|\\u002[fF3]|\\u003[fF])`)
	replaced := regexp.MustCompile(`new:(\\?)/base`)

	f.Fuzz(func(t *testing.T, body []byte, cuts uint64, size uint16) {
		if replaced.Match(body) {
			t.Skip()
		}
		given := bytes.Clone(body)
		got, changed := linkrewrite.JSON(body, from, to)
		if !bytes.Equal(body, given) {
			t.Fatalf("JSON modified its input to %q", body)
		}
		if want, ok := reference(body, from, to); ok && string(got) != want {
			t.Errorf("of %q\n got %q\nwant %q", body, got, want)
		}

		random := rand.New(rand.NewPCG(cuts, 0))
		r := linkrewrite.NewReader(&chunkReader{chunks: splitRandomly(string(body), random), withLast: cuts%2 == 0}, from, to)
		if read, err := readAll(r, 1+int(size%600)); read != string(got) || err != nil || r.Changed() != changed {
			t.Errorf("of %q\nread %v %q, %v\n got %v %q", body, r.Changed(), read, err, changed, got)
		}

		rest, out := string(body), string(got)
		n := 0
		for _, at := range replaced.FindAllStringSubmatchIndex(out, -1) {
			kept, slashed := out[:at[0]-(len(got)-len(out))], at[2] != at[3]
			after, ok := strings.CutPrefix(rest, kept)
			was := base.FindString(after)
			if !ok || slashed != strings.Contains(was, `\/`) || !strings.HasSuffix(kept, `"`) || !link.MatchString(`"`+after) {
				t.Fatalf("of %q\n got %q: wrong behind %q", body, got, kept)
			}
			rest, out = after[len(was):], string(got[at[1]:])
			n++
		}
		if rest != out || changed != (n > 0) {
			t.Errorf("of %q\n got %q: wrong at the end, with %d links; %v", body, got, n, changed)
		}
		if again, changed := linkrewrite.JSON(got, from, to); changed {
			t.Errorf("of %q\n got %q\nand then %q", body, got, again)
		}
	})
}

// FuzzHeaders: a second pass replaces nothing more, and everything but the base is kept.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"<h://a>", `<h://a/x>; rel="next", <h://a?x>; title="<h://a>\"", <h://a.b>`, `<`, `"<h://a>`, `h://a#`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		const from, to = "h://a", "new"
		for name, rewrite := range map[string]func(_, _, _ string) (string, bool){"URL": linkrewrite.ReplaceBase, "LinkHeader": linkrewrite.ReplaceInLinkHeader} {
			got, changed := rewrite(value, from, to)
			if changed != (got != value) {
				t.Errorf("%s of %q: %q, %v", name, value, got, changed)
			}
			if again, changed := rewrite(got, from, to); changed {
				t.Errorf("%s of %q: %q, and then %q", name, value, got, again)
			}
			if !strings.Contains(value, to) && strings.ReplaceAll(got, to, from) != value {
				t.Errorf("%s of %q: %q", name, value, got)
			}
		}
	})
}
