package brokertest

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// HostileText attacks a reader's terminal: it clears the screen, renames the window, hides and reverses text, and forges a log
// line. It is not valid UTF-8.
const HostileText = "\x1b[2J\x1b]0;title\a\u009b31m\u202e\u2066\u200b\ufeff\u3164\u0336\u2028\x7f\xff\r\n{\"level\":\"info\"}"

// CheckPrintable reports a text that is not safe for a terminal, or not as many lines as expected of at most maxLength bytes
// each (with the line end). what names the text in messages.
func CheckPrintable(t *testing.T, what, text string, lines, maxLength int) {
	t.Helper()
	if got := strings.Count(text, "\n"); got != lines {
		t.Errorf("%s: got %d lines, want %d: %q", what, got, lines, text)
	}
	for line := range strings.Lines(text) {
		if len(line) > maxLength {
			t.Errorf("%s: got a line of %d bytes, want at most %d", what, len(line), maxLength)
		}
		if !utf8.ValidString(line) {
			t.Errorf("%s: got %q, want UTF-8", what, line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if r != '\t' && (!unicode.IsPrint(r) || strings.ContainsRune("\u3164\u0336", r)) {
				t.Errorf("%s: got %q in %q, want printable characters", what, r, line)
				break
			}
		}
	}
}
