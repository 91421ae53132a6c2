package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Operators search the documents for the code of what failed in a step of check, of a warning at startup, or of an invalid variable.
func TestDocsHaveEveryCodeOfOperators(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		page    string
		sources []string
		code    string // matches it where it is defined
		least   int
	}{
		{"check.md", []string{"internal/check/*.go", "cmd/broker/check_listen.go"}, `Failed\([\w.]+, "([a-z-]+)"|\.Code(?:, [\w.]+)? = \w+, "([a-z-]+)"`, 15},
		{"troubleshooting.md", []string{"internal/server/*.go"}, `\bwarn\([\w.]+, "([a-z-]+)"`, 10},
		{"troubleshooting.md", []string{"internal/config/config.go"}, `"(config-[a-z-]+)"`, 8},
	} {
		page, err := os.ReadFile(filepath.Join("../../docs", test.page))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, pattern := range test.sources {
			files, err := filepath.Glob(filepath.Join("../..", pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if strings.HasSuffix(file, "_test.go") {
					continue
				}
				source, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, match := range regexp.MustCompile(test.code).FindAllStringSubmatch(string(source), -1) {
					found++
					if code := match[1] + strings.Join(match[2:], ""); !strings.Contains(string(page), "`"+code+"`") {
						t.Errorf("%s has the code %s, which docs/%s does not explain", file, code, test.page)
					}
				}
			}
		}
		if found < test.least {
			t.Errorf("got %d codes in %v, want at least %d", found, test.sources, test.least)
		}
	}
}
