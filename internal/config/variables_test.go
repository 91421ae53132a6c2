package config

import (
	"slices"
	"testing"
)

func TestDistanceCountsEdits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "abcd", 1},
		{"abc", "bc", 1},
		{"ab", "ba", 2},
		{"kitten", "sitting", 3},
		{"intention", "execution", 5},
	}
	for _, test := range tests {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance(test.b, test.a); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

func TestNearestSuggestsClosestName(t *testing.T) {
	t.Parallel()
	candidates := []string{"BROKER_LISTEN", "BROKER_LOG_LEVEL", "BROKER_LOG_FORMAT"}
	for name, want := range map[string]string{
		"BROKER_LISTNE":    "BROKER_LISTEN",
		"BROKER_LOG_LVL":   "BROKER_LOG_LEVEL",
		"BROKER_LOGFORMAT": "BROKER_LOG_FORMAT",
		"BROKER_LISTEN":    "BROKER_LISTEN",
	} {
		if got := nearest(name, candidates); got != want {
			t.Errorf("nearest(%s) = %s, want %s", name, got, want)
		}
	}
	if got := nearest("x", []string{"b", "a"}); got != "b" {
		t.Errorf("of two as near the first should be named, not %s", got)
	}
	if !slices.Equal(candidates, []string{"BROKER_LISTEN", "BROKER_LOG_LEVEL", "BROKER_LOG_FORMAT"}) {
		t.Error("the candidates were changed")
	}
}
