package main

import "testing"

// TestVisible holds that no client writes to an operator's terminal.
func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/channels/ä":     "/channels/ä",
		"/a\u009b31mRED":  "/a%C2%9B31mRED",
		"/a\u202egpj.exe": "/a%E2%80%AEgpj.exe",
		"/a\x7f":          "/a%7F",
		"/a\n":            "/a\n", // zap's to escape
		"/a\u2028b":       "/a%E2%80%A8b",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
