package main

import (
	"maps"
	"path"
	"regexp"
	"strings"
	"testing"
)

// prose matches comments, and strings that have a space.
var prose = regexp.MustCompile(`//.*|"[^"\n]* [^"\n]*"`)

// The recipes in CONTRIBUTING.md name functions, fields, tests and files that exist.
func TestContributingDocsNameExistingCode(t *testing.T) {
	t.Parallel()
	_, recipes, _ := strings.Cut(markdownFiles(t)["CONTRIBUTING.md"], "\n## Recipes\n")
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
	for file, source := range repositoryFiles(t, ".go", ".js") {
		if strings.HasPrefix(file, "e2e/") { // it has names of Kubernetes' types
			continue
		}
		text := path.Base(file) + "\n" + prose.ReplaceAllString(source, "")
		maps.DeleteFunc(missing, func(name string, pattern *regexp.Regexp) bool {
			return strings.Contains(text, name[strings.IndexByte(name, '.')+1:]) && pattern.MatchString(text)
		})
	}
	for name := range missing {
		t.Errorf("CONTRIBUTING.md names %s, which does not exist", name)
	}
}
