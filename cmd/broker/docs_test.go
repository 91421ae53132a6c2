package main

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// installedIn names, for pages that are installed in another directory than their own, that directory.
var installedIn = map[string]string{
	"packaging/README.md": "examples/systemd", // packages put both into one directory
}

// markdownFiles returns the text of each Markdown file of the repository by its path.
func markdownFiles(t *testing.T) map[string]string {
	t.Helper()
	all := repositoryFiles(t, ".md")
	if len(all) < 20 {
		t.Fatalf("got %d pages, want at least 20", len(all))
	}
	return all
}

// repositoryFiles returns the text of each file of the repository with one of these extensions, by its path.
func repositoryFiles(t *testing.T, extensions ...string) map[string]string {
	t.Helper()
	const root = "../.."
	all := map[string]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "testdata", "rendered", "dist"}, entry.Name()):
			return filepath.SkipDir // generated, and read by programs only
		case entry.IsDir() || !slices.Contains(extensions, filepath.Ext(name)):
			return nil
		}
		text, err := os.ReadFile(file)
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	fencedCode = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	// linkPattern matches [text](target), ![text](target) or src="target".
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)|src="([^"]+)"`)
	headingPattern = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor    = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Each link within the repository leads to an existing file, and to a heading in it.
func TestDocLinksResolve(t *testing.T) {
	t.Parallel()
	all := markdownFiles(t)
	checked := 0
	for page, text := range all {
		dir := path.Dir(page)
		if other, ok := installedIn[page]; ok {
			dir = other
		}
		for _, target := range linkTargets(text) {
			parsed, err := url.Parse(target)
			switch {
			case err != nil:
				t.Errorf("%s: the link %s is not a valid URL", page, target)
				continue
			case parsed.Scheme != "":
				continue
			}
			checked++
			to := page
			if parsed.Path != "" {
				to = path.Join(dir, parsed.Path)
			}
			info, err := os.Stat(filepath.Join("../..", to))
			switch {
			case err != nil:
				t.Errorf("%s: the link %s leads to no file", page, target)
				continue
			case info.IsDir(): // GitHub shows its README
				to = path.Join(to, "README.md")
			}
			if parsed.Fragment != "" && !slices.Contains(headingAnchors(all[to]), parsed.Fragment) {
				t.Errorf("%s: the link %s leads to no heading", page, target)
			}
		}
	}
	if checked < 100 {
		t.Errorf("got %d links, want at least 100", checked)
	}
}

// linkTargets returns the targets of all links in a page, except those in code.
func linkTargets(text string) []string {
	var targets []string
	for _, found := range linkPattern.FindAllStringSubmatch(inlineCode.ReplaceAllString(fencedCode.ReplaceAllString(text, ""), "`…`"), -1) {
		targets = append(targets, found[1]+found[2])
	}
	return targets
}

// headingAnchors returns the fragments that GitHub gives the headings of a page.
func headingAnchors(text string) []string {
	var all []string
	seen := map[string]int{}
	for _, found := range headingPattern.FindAllStringSubmatch(fencedCode.ReplaceAllString(text, ""), -1) {
		slug := strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")
		if seen[slug]++; seen[slug] > 1 {
			slug += "-" + strconv.Itoa(seen[slug]-1)
		}
		all = append(all, slug)
	}
	return all
}

// docs/README.md links to every page of its directory.
func TestDocsIndexListsEveryPage(t *testing.T) {
	t.Parallel()
	all := markdownFiles(t)
	listed := linkTargets(all["docs/README.md"])
	for page := range all {
		if name, ok := strings.CutPrefix(page, "docs/"); ok && name != "README.md" && !slices.Contains(listed, name) {
			t.Errorf("docs/README.md has no link to %s, want one", name)
		}
	}
}

// docs/store.md shows the ACL rules with which package redisstore is tested.
func TestStoreDocsShowTestedACLRules(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/store.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../tokensource/redisstore/access_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^const rules = "(.*)"$`).FindSubmatch(source)
	if found == nil {
		t.Fatal("access_test.go has no constant rules")
	}
	if !strings.Contains(string(page), string(found[1])+"\n") {
		t.Errorf("docs/store.md does not have the rules of access_test.go, want %s", found[1])
	}
}
