package linkrewrite_test

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// The origin is short, so that the fuzzer finds it. Inputs with the new origin are skipped.
const fuzzFrom, fuzzTo = "https://a.b", "new:/base"

// spelling returns a regular expression for the ways to write a URL in JSON.
func spelling(url string) string {
	var out strings.Builder
	for _, c := range []byte(url) {
		var ways []string
		for _, c := range []string{strings.ToLower(string(c)), strings.ToUpper(string(c))} {
			ways = append(ways, regexp.QuoteMeta(c), regexp.QuoteMeta(unicodeEscape(c[0])), regexp.QuoteMeta(upperUnicodeEscape(c[0])))
		}
		if c == '/' {
			ways = append(ways, `\\/`)
		}
		out.WriteString("(?:" + strings.Join(ways, "|") + ")")
	}
	return "(?:" + out.String() + ")"
}

// FuzzReader reads any bytes, split anywhere. The result must not depend on the splits, must equal that of the
// reference if the input is JSON, and must differ from the input in replaced origins only.
func FuzzReader(f *testing.F) {
	shorten := strings.NewReplacer("api.etrusted.com", "a.b", escapedFrom, formatBytes(fuzzFrom, unicodeEscape))
	for i, test := range testBodies {
		f.Add([]byte(shorten.Replace(test.body)), uint64(i), uint16(i))
	}
	for _, body := range []string{
		`["https://a.b`, `{"a" "https://a.b/"]}"https:\/\/a.b"`, `["https:\u002f\u002`, `["https://a.b\`, `]}[{,:,"//a.b"`,
		`"https://a.b\u002fx\"http://a.b"`,
	} {
		f.Add([]byte(body), uint64(1), uint16(3))
	}

	var origins []string
	for _, origin := range []string{fuzzFrom + ":443", fuzzFrom, "http://a.b:80", "http://a.b", "//a.b:443", "//a.b"} {
		origins = append(origins, spelling(origin))
	}
	origin := regexp.MustCompile(`^(` + strings.Join(origins, "|") + `)(?:["/?#]|\\/|\\u002[fF3]|\\u003[fF])`)
	replaced := regexp.MustCompile(`new:(\\?)/base`)
	rewriter := linkrewrite.NewOrigin(fuzzFrom).To(fuzzTo)

	f.Fuzz(func(t *testing.T, body []byte, cuts uint64, size uint16) {
		if replaced.Match(body) {
			t.Skip()
		}
		given := bytes.Clone(body)
		got, changed := rewriter.JSON(body)
		if !bytes.Equal(body, given) {
			t.Fatalf("JSON modified its input to %q", body)
		}
		if want, ok := reference(body, fuzzFrom, fuzzTo); ok && string(got) != want {
			t.Errorf("of %q\n got %q\nwant %q", body, got, want)
		}

		random := rand.New(rand.NewPCG(cuts, 0))
		r := rewriter.NewReader(&chunkReader{chunks: splitRandomly(string(body), random), withLast: cuts%2 == 0})
		if read, err := readAll(r, 1+int(size%600)); read != string(got) || err != nil {
			t.Errorf("of %q\nread %q, %v\n got %q", body, read, err, got)
		}

		rest, out := string(body), string(got)
		n := 0
		for _, at := range replaced.FindAllStringSubmatchIndex(out, -1) {
			kept, slashed := out[:at[0]-(len(got)-len(out))], at[2] != at[3]
			after, ok := strings.CutPrefix(rest, kept)
			was := origin.FindStringSubmatch(after)
			if !ok || was == nil || slashed != strings.Contains(was[1], `\/`) || !strings.HasSuffix(kept, `"`) {
				t.Fatalf("of %q\n got %q: wrong behind %q", body, got, kept)
			}
			rest, out = after[len(was[1]):], string(got[at[1]:])
			n++
		}
		if rest != out || changed != (n > 0) {
			t.Errorf("of %q\n got %q: wrong at the end, with %d links; %v", body, got, n, changed)
		}
		if again, changed := rewriter.JSON(got); changed {
			t.Errorf("of %q\n got %q\nand then %q", body, got, again)
		}
	})
}

// FuzzFields: a second pass replaces nothing more, and everything but the origin is kept.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		"<https://a.b>", `<https://a.b/x>; rel="next", <https://a.b:443?x>; title="<https://a.b>\"", <https://a.b.c>`, `<`, `"<//a.b>`, `HTTPS://a.b#`,
	} {
		f.Add(seed)
	}
	origin := regexp.MustCompile(`(?:[hH][tT][tT][pP][sS]:)?//[aA]\.[bB](?::443)?|[hH][tT][tT][pP]://[aA]\.[bB](?::80)?`)
	f.Fuzz(func(t *testing.T, value string) {
		rewriter := linkrewrite.NewOrigin(fuzzFrom).To(fuzzTo)
		for name, rewrite := range map[string]func(string) (string, bool){"URL": rewriter.URL, "LinkField": rewriter.LinkField} {
			got, changed := rewrite(value)
			if changed != (got != value) {
				t.Errorf("%s of %q: %q, %v", name, value, got, changed)
			}
			if again, changed := rewrite(got); changed {
				t.Errorf("%s of %q: %q, and then %q", name, value, got, again)
			}
			if want := origin.ReplaceAllString(value, fuzzTo); !strings.Contains(value, fuzzTo) && origin.ReplaceAllString(got, fuzzTo) != want {
				t.Errorf("%s of %q: %q", name, value, got)
			}
		}
	})
}
