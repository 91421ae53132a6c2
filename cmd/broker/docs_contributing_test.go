package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// prose matches comments, and strings that have a space.
var prose = regexp.MustCompile(`//.*|"[^"\n]* [^"\n]*"`)

// The recipes in CONTRIBUTING.md name functions, fields, tests and files that exist.
func TestContributingDocsNameExistingCode(t *testing.T) {
	t.Parallel()
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, recipes, _ := strings.Cut(string(page), "\n## Recipes\n")
	recipes, _, _ = strings.Cut(recipes, "\n## ")
	missing := map[string]*regexp.Regexp{} // a call ends with its parenthesis
	for _, name := range regexp.MustCompile("`(\\w+(?:\\.\\w+)?\\(?)[^`/]*`").FindAllStringSubmatch(fencedCode.ReplaceAllString(recipes, ""), -1) {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(name[1]), `\.`, `(?:\.|\) )`) // a selector, or the declaration of a method
		if !strings.HasSuffix(pattern, "(") {
			pattern += `\b`
		}
		missing[name[1]] = regexp.MustCompile(`\b` + pattern)
	}
	if len(missing) < 50 {
		t.Fatalf("got %d names, want at least 50", len(missing))
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "e2e" { // it has names of Kubernetes' types
			return filepath.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".js" {
			return err
		}
		source, err := os.ReadFile(path)
		text := entry.Name() + "\n" + prose.ReplaceAllString(string(source), "")
		maps.DeleteFunc(missing, func(name string, pattern *regexp.Regexp) bool {
			return strings.Contains(text, name[strings.IndexByte(name, '.')+1:]) && pattern.MatchString(text)
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range missing {
		t.Errorf("CONTRIBUTING.md names %s, which does not exist", name)
	}
}
