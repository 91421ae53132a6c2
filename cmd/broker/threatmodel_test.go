package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests and packages that docs/threat-model.md names as proof exist.
func TestThreatModelNamesExistingTests(t *testing.T) {
	t.Parallel()
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs/threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for path, source := range repositoryFiles(t, ".go") {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, match := range declared.FindAllStringSubmatch(source, -1) {
			tests[match[1]] = true
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)(…?)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 20 {
		t.Fatalf("got %d names of tests, want at least 20", len(named))
	}
	for _, name := range named {
		exists := tests[name[1]]
		for test := range tests {
			exists = exists || name[2] != "" && strings.HasPrefix(test, name[1])
		}
		if !exists {
			t.Errorf("the threat model names %s%s, which does not exist", name[1], name[2])
		}
	}
	for _, dir := range regexp.MustCompile("package `([a-z/]+)`").FindAllStringSubmatch(string(text), -1) {
		if found, _ := filepath.Glob(filepath.Join(root, dir[1], "*_test.go")); len(found) == 0 {
			t.Errorf("the threat model names package %s, which has no test", dir[1])
		}
	}
}
