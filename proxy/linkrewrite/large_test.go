package linkrewrite_test

import (
	"slices"
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// sizeDivisor reduces the sizes of large bodies.
var sizeDivisor = 1

// checkBoth rewrites a body with JSON and with a Reader.
func checkBoth(t *testing.T, body, want string) {
	t.Helper()
	if got, _ := linkrewrite.JSON([]byte(body), from, to); string(got) != want {
		t.Errorf("JSON: got %d bytes that differ from want at %d", len(got), firstDifference(string(got), want))
	}
	got, err := readAll(linkrewrite.NewReader(strings.NewReader(body), from, to), 32<<10)
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

// TestDeepNesting: strings deeper than 10,000 levels are unchanged, and those after them are rewritten again.
func TestDeepNesting(t *testing.T) {
	const known = 10_000
	values := `"` + from + `",0,"` + from + `"`
	rewritten := strings.ReplaceAll(values, from, to)
	for _, depth := range []int{1, 63, 64, 65, 128, known, known + 1, known + 65} {
		in, out := strings.Repeat("[", depth-1)+"[", strings.Repeat("]", depth-1)
		want := values
		if depth <= known {
			want = rewritten
		}
		checkBoth(t, in+values+"]"+out+`"`+from+`"`, in+want+"]"+out+`"`+to+`"`)

		// Nested objects and arrays, each with a key or a value after the deeper level.
		var before, behind, wantBehind []string
		for level := 1; level <= depth; level++ {
			value := from
			if level <= known {
				value = to
			}
			open, format := `[`, `,"%s"]`
			if level%2 == 0 || level%3 == 0 {
				open, format = `{"a":`, `,"`+from+`":"%s"}`
			}
			before = append(before, open)
			behind = append(behind, strings.Replace(format, "%s", from, 1))
			wantBehind = append(wantBehind, strings.Replace(format, "%s", value, 1))
		}
		slices.Reverse(behind)
		slices.Reverse(wantBehind)
		start := strings.Join(before, "") + "0"
		checkBoth(t, start+strings.Join(behind, ""), start+strings.Join(wantBehind, ""))
	}
}
