package spelling_test

import (
	"testing"

	"etrusted-broker/internal/spelling"
)

func TestFindsNearestCandidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, want string
		edits      int
	}{
		{"api_url", "api_url", 0},
		{"api-url", "api_url", 1},
		{"apiurl", "api_url", 1},
		{"api__url", "api_url", 1},
		{"audiens", "audience", 2},
		{"", "scopes", 6},
		{"scope", "scopes", 1},
		{"x", "api_url", 7}, // as far from the first as from a later one
	} {
		got, edits := spelling.Nearest(test.text, []string{"api_url", "audience", "scopes1", "scopes"})
		if test.text == "x" {
			got, edits = spelling.Nearest(test.text, []string{"api_url", "api_key"})
		}
		if got != test.want || edits != test.edits {
			t.Errorf("%q: got %s with %d edits, want %s with %d", test.text, got, edits, test.want, test.edits)
		}
	}
}
