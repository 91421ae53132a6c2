package tokensource

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseSecret(t *testing.T) {
	t.Parallel()
	const bom = "\xef\xbb\xbf"
	for _, tc := range []struct {
		name, content string
		want          string
		wantErr       string
	}{
		{"plain", "s3cret", "s3cret", ""},
		{"newline", "s3cret\n", "s3cret", ""},
		{"CRLF", "s3cret\r\n", "s3cret", ""},
		{"several newlines", "s3cret\n\n", "s3cret", ""},
		{"byte order mark", bom + "s3cret\n", "s3cret", ""},
		{"spaces and quotes stay", ` "s3cret" `, ` "s3cret" `, ""},
		{"UTF-8", "gehäim", "gehäim", ""},
		{"largest", strings.Repeat("a", maxSecretFileSize), strings.Repeat("a", maxSecretFileSize), ""},
		{"empty", "", "", "is empty"},
		{"only a newline", "\n", "", "is empty"},
		{"only white space", "  \t\n", "", "is empty"},
		{"only a byte order mark", bom, "", "is empty"},
		{"two lines", "id\ns3cret\n", "", "more than one line"},
		{"UTF-16", "\xff\xfes\x003\x00", "", "not UTF-8"},
		{"NUL", "s3\x00cret", "", "not UTF-8"},
		{"control characters", "s3\x1bcret", "", "control characters"},
		{"too large", strings.Repeat("a", maxSecretFileSize+1), "", "larger than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseSecret([]byte(tc.content))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("err = %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || got.Reveal() != tc.want {
				t.Errorf("ParseSecret = %q, %v, want %q", got.Reveal(), err, tc.want)
			}
		})
	}
}

func TestReadSecretFileErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("canary"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	for _, tc := range []struct{ path, wantErr string }{
		{missing, "cannot read " + missing + ": no such file or directory"},
		{dir, "cannot read " + dir + ": it is a directory: use the path of a file in it"},
		{large, large + " is larger than 4096 bytes: use the right file"},
	} {
		_, err := ReadSecretFile(tc.path)
		if err == nil || err.Error() != tc.wantErr {
			t.Errorf("ReadSecretFile(%s): %v, want %s", tc.path, err, tc.wantErr)
		}
	}
}

func TestReadSecretLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	for _, tc := range []struct {
		name, content string
		want          []string
		wantErr       string
	}{
		{"one", "a", []string{"a"}, ""},
		{"several", "\ufeffa\r\n\n \t\nb c\nd", []string{"a", "b c", "d"}, ""},
		{"none", "\n\n", nil, "is empty"},
		{"a bad line", "a\nb\x01\n", nil, "control characters"},
		{"a lone CR", "a\rb\n", nil, "more than one line"},
		{"too large", strings.Repeat("a\n", maxSecretFileSize), nil, "larger than"},
	} {
		if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		secrets, err := ReadSecretLines(path)
		var got []string
		for _, secret := range secrets {
			got = append(got, secret.Reveal())
		}
		if !slices.Equal(got, tc.want) || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
			t.Errorf("%s: ReadSecretLines = %q, %v, want %q, %q", tc.name, got, err, tc.want, tc.wantErr)
		}
	}
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{"", "s3cret\r\n", "\xef\xbb\xbfs3cret", "a\nb", "\xff\xfea\x00", "\x00", " \n "} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		secret, err := ParseSecret(content)
		text := secret.Reveal()
		if err != nil {
			if text != "" {
				t.Fatalf("error %v with a secret, want none", err)
			}
			if shown := strings.TrimSpace(string(content)); len(shown) > 20 && strings.Contains(err.Error(), shown) {
				t.Fatal("the error quotes the content")
			}
			return
		}
		if strings.TrimSpace(text) == "" || strings.ContainsAny(text, "\r\n\x00") || !utf8.ValidString(text) {
			t.Fatalf("secret %q, want one line of UTF-8", text)
		}
		if !bytes.Contains(content, []byte(text)) {
			t.Fatalf("secret %q is not in the file", text)
		}
		if again, err := ParseSecret([]byte(text)); err != nil || again.Reveal() != strings.TrimPrefix(text, "\ufeff") {
			t.Fatalf("parsing %q again = %q, %v, want the same", text, again.Reveal(), err)
		}
	})
}
