package brokertest

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// HostileText clears a terminal, renames its window, hides and reverses text, forges a line and is not UTF-8.
const HostileText = "\x1b[2J\x1b]0;title\a\u009b31m\u202e\u2066\u200b\ufeff\u3164\u0336\u2028\x7f\xff\r\n{\"level\":\"info\"}"

// CheckHarmless holds that a text is of so many lines of at most so many bytes, which a terminal shows and does not obey.
func CheckHarmless(t *testing.T, what, text string, lines, length int) {
	t.Helper()
	if got := strings.Count(text, "\n"); got != lines {
		t.Errorf("%s: got %d lines, want %d: %q", what, got, lines, text)
	}
	for line := range strings.Lines(text) {
		if len(line) > length {
			t.Errorf("%s: got a line of %d bytes, want at most %d", what, len(line), length)
		}
		if !utf8.ValidString(line) {
			t.Errorf("%s: got %q, want UTF-8", what, line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if r != '\t' && (!unicode.IsPrint(r) || strings.ContainsRune("\u3164\u0336", r)) {
				t.Errorf("%s: %q is in %q", what, r, line)
				break
			}
		}
	}
}
