package linkrewrite_test

import (
	"strings"
	"testing"
)

// sizeDivisor reduces the sizes of large bodies.
var sizeDivisor = 1

// checkBoth rewrites a body with JSON and with a Reader.
func checkBoth(t *testing.T, body, want string) {
	t.Helper()
	if got, _ := rewriter.JSON([]byte(body)); string(got) != want {
		t.Errorf("JSON: got %d bytes that differ from want at %d", len(got), firstDifference(string(got), want))
	}
	got, err := readAll(rewriter.NewReader(strings.NewReader(body)), 32<<10)
	if got != want || err != nil {
		t.Errorf("Reader: got %v, %d bytes that differ from want at %d", err, len(got), firstDifference(got, want))
	}
}

func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestLongStrings(t *testing.T) {
	longest, length := 10<<20/sizeDivisor, 1<<20/sizeDivisor
	for name, long := range map[string]string{
		"plain":       strings.Repeat("a", longest),
		"escapes":     strings.Repeat(`\"`, length/2|1),
		"backslashes": strings.Repeat(`\\`, length/2),
		"mentions":    strings.Repeat(` `+from+`/`, length/30),
	} {
		t.Run(name, func(t *testing.T) {
			checkBoth(t, `["`+long+`","`+from+`/`+long+`","`+from+`"]`, `["`+long+`","`+to+`/`+long+`","`+to+`"]`)
		})
	}
	t.Run("blanks", func(t *testing.T) {
		blanks := strings.Repeat(" ", length)
		checkBoth(t, `["a",`+blanks+`"`+from+`"`+blanks+`]`, `["a",`+blanks+`"`+to+`"`+blanks+`]`)
	})
}

func TestDeepNesting(t *testing.T) {
	const depth = 20_000
	values := `"` + from + `",0,"` + from + `"`
	in, out := strings.Repeat("[", depth), strings.Repeat("]", depth)
	checkBoth(t, in+values+out, in+strings.ReplaceAll(values, from, to)+out)

	members := `,"` + from + `":"` + from + `"}`
	in, out = strings.Repeat(`{"a":`, depth)+"0", strings.Repeat(members, depth)
	checkBoth(t, in+out, in+strings.ReplaceAll(out, `:"`+from, `:"`+to))
}
