package printable_test

import (
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"etrusted-broker/internal/printable"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		limit      int
		want       string
	}{
		{"ASCII", `/channels?x="a\b"%41`, 100, `/channels?x="a\b"%41`},
		{"letters", "/etc/schlüssel/日本 ✓", 100, "/etc/schlüssel/日本 ✓"},
		{"line ends", "a\r\nb\tc", 100, "a%0D%0Ab%09c"},
		{"escape sequence", "a\x1b[31mb", 100, "a%1B[31mb"},
		{"delete", "a\x7fb", 100, "a%7Fb"},
		{"C1 control", "a\u009b31mb", 100, "a%C2%9B31mb"},
		{"bidi control", "a\u202egpj.exe", 100, "a%E2%80%AEgpj.exe"},
		{"bidi isolate", "a\u2066b", 100, "a%E2%81%A6b"},
		{"line separator", "a\u2028b", 100, "a%E2%80%A8b"},
		{"zero-width space", "a\u200bb", 100, "a%E2%80%8Bb"},
		{"byte order mark", "a\ufeffb", 100, "a%EF%BB%BFb"},
		{"Hangul filler", "a\u3164b", 100, "a%E3%85%A4b"},
		{"variation selector", "a\ufe0fb", 100, "a%EF%B8%8Fb"},
		{"combining mark", "a\u0336b", 100, "a%CC%B6b"},
		{"no-break space", "a\u00a0b", 100, "a%C2%A0b"},
		{"tag character", "a\U000e0041b", 100, "a%F3%A0%81%81b"},
		{"invalid UTF-8", "a\xff\xc2b", 100, "a%FF%C2b"},
		{"the replacement character itself", "a\ufffdb", 100, "a\ufffdb"},
		{"as long as may be", "abcdef", 6, "abcdef"},
		{"too long", "abcdefg", 6, "abcdef..."},
		{"not cut within a character", "abcdeä", 6, "abcde..."},
		{"not cut within an escape", "abcd\x1b", 6, "abcd..."},
		{"the limit is of the result", "\x1b\x1b", 6, "%1B%1B"},
		{"empty", "", 0, ""},
	} {
		if got := printable.Escape(test.text, test.limit); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "abc", "\x1b[31m", "\u202e\u009b\xff", strings.Repeat("ä", 300)} {
		f.Add(seed, 10)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(0, limit)
		got := printable.Escape(text, limit)
		if !utf8.ValidString(got) || len(got)-len("...") > limit {
			t.Errorf("Escape(%q, %d): got %q of %d bytes", text, limit, got, len(got))
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.In(r, unicode.Cf, unicode.Mn, unicode.Me) {
				t.Errorf("Escape(%q, %d): %q is left in %q", text, limit, r, got)
			}
		}
		if again := printable.Escape(got, math.MaxInt); again != got {
			t.Errorf("Escape of %q: got %q, want it unchanged", got, again)
		}
	})
}
