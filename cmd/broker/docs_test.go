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

// installedIn are pages that are read from another folder than their own, and which.
var installedIn = map[string]string{
	"packaging/README.md": "examples/systemd", // a package puts both into one folder
}

// markdownFiles are all of the project's texts, by their path.
func markdownFiles(t *testing.T) map[string]string {
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
			return filepath.SkipDir // made by programs, and read by none but programs
		case entry.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(file)
		all[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

var (
	fencedCode = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	// linkPattern is [text](target), ![text](target) or src="target".
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)|src="([^"]+)"`)
	headingPattern = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor    = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestDocLinksResolve holds that each link within the project leads somewhere: to a file, and to a heading in it.
func TestDocLinksResolve(t *testing.T) {
	t.Parallel()
	all := markdownFiles(t)
	checked := 0
	for page, text := range all {
		folder := path.Dir(page)
		if other, ok := installedIn[page]; ok {
			folder = other
		}
		for _, target := range linkTargets(text) {
			parsed, err := url.Parse(target)
			switch {
			case err != nil:
				t.Errorf("%s: %s is no link", page, target)
				continue
			case parsed.Scheme != "":
				continue
			}
			checked++
			to := page
			if parsed.Path != "" {
				to = path.Join(folder, parsed.Path)
			}
			info, err := os.Stat(filepath.Join("../..", to))
			switch {
			case err != nil:
				t.Errorf("%s: there is no %s", page, target)
				continue
			case info.IsDir(): // as it is shown: with the README below the list of files
				to = path.Join(to, "README.md")
			}
			if parsed.Fragment != "" && !slices.Contains(headingAnchors(all[to]), parsed.Fragment) {
				t.Errorf("%s: there is no heading for %s", page, target)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d links were found", checked)
	}
}

// linkTargets returns the targets of all links in a page.
func linkTargets(text string) []string {
	var targets []string
	for _, found := range linkPattern.FindAllStringSubmatch(inlineCode.ReplaceAllString(fencedCode.ReplaceAllString(text, ""), "`…`"), -1) {
		targets = append(targets, found[1]+found[2])
	}
	return targets
}

// headingAnchors are what the headings of a page go by, as GitHub and others make them.
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

// TestDocsIndexListsEveryPage holds that docs/README.md leads to each page beside it.
func TestDocsIndexListsEveryPage(t *testing.T) {
	t.Parallel()
	all := markdownFiles(t)
	listed := linkTargets(all["docs/README.md"])
	for page := range all {
		if name, ok := strings.CutPrefix(page, "docs/"); ok && name != "README.md" && !slices.Contains(listed, name) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

// TestStoreDocsShowTestedACLRules holds that the access rules in docs/store.md are those that package redisstore is tested with.
func TestStoreDocsShowTestedACLRules(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/store.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, name := range map[string]string{"access_test.go": "rules", "topology_test.go": "clusterRules"} {
		source, err := os.ReadFile("../../tokensource/redisstore/" + file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^const ` + name + ` = "(.*)"$`).FindSubmatch(source)
		if found == nil {
			t.Fatalf("%s has no const %s", file, name)
		}
		if rules := strings.TrimSpace(string(found[1])); !regexp.MustCompile(regexp.QuoteMeta(rules) + "(\n|`)").Match(page) {
			t.Errorf("docs/store.md does not have the rules %s", rules)
		}
	}
}
