package proxy

import (
	"strings"
	"testing"

	"etrusted-broker/proxy/http1"
)

// The fields that Connection lists do not depend on how they are written.
func TestConnectionOptionsIgnoreCase(t *testing.T) {
	for line, want := range map[string]string{
		"":                       "",
		"close":                  "",
		"Keep-Alive, CLOSE":      "",
		"x-a":                    "X-A",
		" , X-a\t,, close , x_B": "X-A X-B",
	} {
		got := fieldsNamedInConnection(http1.Fields{{Name: "connection", Value: line}})
		for _, name := range strings.Fields(want) {
			if !got.has(name) {
				t.Errorf("%q: got %v, want %s among them", line, got, name)
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%q: got %v, want %s", line, got, want)
		}
	}
}

func TestRecognizesDigestFields(t *testing.T) {
	for name, want := range map[string]bool{
		"Content-MD5": true, "Digest": true, "Content-Digest": true, "repr-digest": true,
		"": false, "Want-Content-Digest": false, "Content-Type": false, "Etag": false,
	} {
		if got := containsFold(name, digestFields); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
