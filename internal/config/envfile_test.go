package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEnvFileHasTheSyntaxOfSystemd(t *testing.T) {
	t.Parallel()
	for content, want := range map[string][]string{
		"":                                     nil,
		"A=b":                                  {"A=b"},
		"A=b\nC=d\n":                           {"A=b", "C=d"},
		"A=b\r\nC=d\r\n":                       {"A=b", "C=d"},
		"\n# A=b\n  ; A=b\n\n A=b":             {"A=b"},
		"A=":                                   {"A="},
		"A=\nB=c":                              {"A=", "B=c"},
		"A = b c  \nD=e":                       {"A=b c", "D=e"},
		"A=b # c":                              {"A=b # c"},
		"A=b=c":                                {"A=b=c"},
		"A=it's":                               {"A=it's"},
		`A="b c"`:                              {"A=b c"},
		`A='b "c" \d'`:                         {`A=b "c" \d`},
		`A="b \"c\" \\ \$ \x"`:                 {`A=b "c" \ $ \x`},
		"A=\"b\nc\"":                           {"A=b\nc"},
		"A=\"b\\\nc\"":                         {"A=bc"},
		`A="b"'c' d`:                           {"A=bcd"},
		`A= "b" `:                              {"A=b"},
		"A=b\\\n  c\nD=e":                      {"A=b  c", "D=e"},
		"A=b\\\r\nC=d":                         {"A=b", "C=d"},
		"A=b \\\nc":                            {"A=b c"},
		`A=b\ \c\\`:                            {`A=b c\`},
		`A=b\`:                                 {"A=b"},
		"# a comment \\\nA=b":                  {"A=b"},
		"\xef\xbb\xbfA=b":                      {"A=b"},
		"A=b\nA=c":                             {"A=b", "A=c"},
		"BROKER_ALLOW=GET /reviews/, GET /x\n": {"BROKER_ALLOW=GET /reviews/, GET /x"},
	} {
		got, err := parseEnvFile([]byte(content), true)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", content, got, err, want)
		}
	}
}

// On Windows, paths contain backslashes.
func TestEnvFileKeepsBackslashesOnWindows(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		`A=C:\broker\client_id`:       `A=C:\broker\client_id`,
		`A="C:\Program Files\broker"`: `A=C:\Program Files\broker`,
		`A=C:\broker\`:                `A=C:\broker\`,
	} {
		got, err := parseEnvFile([]byte(content+"\r\nB=c"), false)
		if err != nil || len(got) != 2 || got[0] != want {
			t.Errorf("%q: got %q, %v, want %q", content, got, err, want)
		}
	}
}

func TestEnvFileErrorsNameTheLineAndNoValue(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"A=b\nCANARY":                      "line 2: must be NAME=value",
		"CANARY\nA=b":                      "line 1: must be NAME=value",
		"\n\nexport A=CANARY":              "line 3: must be NAME=value, without export",
		"A=\"b\nc\"\nCAN ARY=x":            "line 3: the name before =",
		"=CANARY":                          "line 1: the name before =",
		"1CANARY=x":                        "line 1: the name before =",
		"# a comment\nA=b\\\nc\nB='CANARY": "line 4: the quote",
		"A=\"CANARY\\":                     "line 1: the quote",
		"A=\x00CANARY":                     "is not UTF-8 text",
		"\xff\xfeA\x00":                    "is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8",
		"\xfe\xff\x00A":                    "is UTF-16",
		"A=\xff":                           "is not UTF-8 text",
	} {
		got, err := parseEnvFile([]byte(content), true)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q: got %q, %v, want an error that begins %q", content, got, err, want)
		}
	}
}

func TestEnvFileErrorsNameTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if got, err := ReadEnvFile(file("A=b\n")); err != nil || !slices.Equal(got, []string{"A=b"}) {
		t.Errorf("got %q, %v, want A=b", got, err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "file not found",
		dir:                           "cannot be read: it must be a file",
		file("A"):                     "line 1: must be NAME=value",
	} {
		if _, err := ReadEnvFile(path); err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("got %v, want %s: %s", err, path, want)
		}
	}
	if _, err := ReadEnvFile(file(strings.Repeat("#", maxEnvFile+1))); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("got %v, want that the file is too large", err)
	}
}

// FuzzParseEnvFile checks that parsing ends, and that what it returns is a variable.
func FuzzParseEnvFile(f *testing.F) {
	for _, seed := range []string{"A=b\n", "A=\"b\\\n\"c'd'\\", "# x\n;\nA = b \\\r\n c", "export A=b", "\xef\xbb\xbfA"} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, content []byte, escapes bool) {
		environ, err := parseEnvFile(content, escapes)
		if err != nil && len(environ) > 0 {
			t.Errorf("got %q and %v, want one of them", environ, err)
		}
		for _, pair := range environ {
			name, value, found := strings.Cut(pair, "=")
			if !found || !isEnvName(name) || len(value) > len(content) {
				t.Errorf("got %q", pair)
			}
			// Single quotes keep everything but themselves.
			if strings.Contains(value, "'") {
				continue
			}
			if again, err := parseEnvFile([]byte(name+"='"+value+"'"), escapes); err != nil || !slices.Equal(again, []string{pair}) {
				t.Errorf("%q in single quotes: got %q, %v", pair, again, err)
			}
		}
	})
}
