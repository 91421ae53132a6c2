package proxy

import (
	"regexp"
	"strings"
	"testing"

	"etrusted-broker/proxy/http1"
)

// FuzzTraceparent compares traceID with the specification's grammar as a regular expression.
func FuzzTraceparent(f *testing.F) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for _, seed := range []string{
		"", "00-" + trace + "-b7ad6b7169203331-01", "ff-" + trace + "-b7ad6b7169203331-01", "cc-" + trace + "-b7ad6b7169203331-01-more",
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", "00-" + trace + "-0000000000000000-01", "0\xff-" + trace + "-b7ad6b7169203331-01",
		"00-0af76519-6cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		f.Add(seed)
	}
	grammar := regexp.MustCompile(`^(?s)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)
	f.Fuzz(func(t *testing.T, value string) {
		want := ""
		if m := grammar.FindStringSubmatch(value); m != nil && m[1] != "ff" && (m[1] != "00" || m[4] == "") &&
			m[2] != strings.Repeat("0", 32) && m[3] != strings.Repeat("0", 16) {
			want = m[2]
		}
		if got := traceID(http1.Fields{{Name: "traceparent", Value: value}}); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	})
}
