package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// accessKey is what BROKER_ACCESS_KEY asks for in these tests.
const accessKey = "access-key-0815-4711"

// TestExamples runs the programs of ../examples, as they are, in the ways that their READMEs tell of.
func TestExamples(t *testing.T) {
	t.Parallel()
	withKey := way{"with an access key", func(*testing.T) ([]string, string) {
		return []string{"BROKER_ACCESS_KEY=" + accessKey}, ""
	}, func(t *testing.T, l *language, b *broker, _ string) setting {
		return byBaseURL.given(t, l, b, "").and(setting{environ: []string{"BROKER_ACCESS_KEY=" + accessKey, "ETRUSTED_CLIENT_SECRET=" + accessKey}})
	}}
	for _, example := range []struct {
		language      *language
		before, after string
	}{
		{php, "before.php", "after.php"},
		{node, "before.mjs", "after.mjs"},
		{java, "Before.java", "After.java"},
	} {
		folder := filepath.Join("..", "examples", example.language.name)
		for _, test := range []struct {
			name, file string
			patched    bool // by the README
			way        way
		}{
			{"before", example.before, false, byBaseURL},
			{"after", example.after, false, byBaseURL},
			{"before, hard-coded", example.before, false, byHTTPSProxy},
			{"before, with an access key", example.before, false, withKey},
			{"after, with an access key", example.after, true, withKey},
		} {
			t.Run(example.language.name+" "+test.name, func(t *testing.T) {
				t.Parallel()
				example.language.need(t)
				if example.language == node && test.way.name == byHTTPSProxy.name {
					needNodeThatKnowsProxies(t)
				}
				file := filepath.Join(folder, test.file)
				if test.patched {
					file = patchedBy(t, filepath.Join(folder, "README.md"), file)
				}
				r := newReviews(t)
				r.secrets = append(r.secrets, accessKey) // looked for in the log
				environ, ca := test.way.environ(t)
				given := test.way.given(t, example.language, r.start(t, environ...), ca)
				printed, err := example.language.run(t, file, dummies.and(setting{environ: []string{"NODE_USE_ENV_PROXY=1"}}).and(given))
				if err != nil {
					t.Fatal(err)
				}
				r.wantReviews(t, printed)
				r.wantNoDummies(t)
			})
		}
	}
}

// needNodeThatKnowsProxies skips the test where fetch goes past every proxy: there an app needs packages, which are not
// for this module to bring.
func needNodeThatKnowsProxies(t *testing.T) {
	t.Helper()
	if !nodeKnowsProxies() {
		t.Skip("THIS NODE'S FETCH KNOWS NO PROXY: what the README says of newer ones is NOT TESTED")
	}
}

var nodeKnowsProxies = runs("node", "-e", `process.exit(process.allowedNodeEnvironmentFlags.has("--use-env-proxy") ? 0 : 1)`)

// patchedBy applies the README's one diff to a copy of the file, and returns the copy's path.
func patchedBy(t *testing.T, readme, file string) string {
	t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, diff, _ := strings.Cut(string(text), "```diff\n")
	diff, rest, _ := strings.Cut(diff, "```")
	if diff == "" || strings.Contains(rest, "```diff") {
		t.Fatalf("%s has not one diff", readme)
	}
	var before, after strings.Builder
	for line := range strings.Lines(diff) {
		if line[0] != '+' {
			before.WriteString(line[1:])
		}
		if line[0] != '-' {
			after.WriteString(line[1:])
		}
	}
	if strings.Count(string(program), before.String()) != 1 {
		t.Fatalf("the diff of %s is not of %s:\n%s", readme, file, &before)
	}
	patched := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(patched, []byte(strings.Replace(string(program), before.String(), after.String(), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return patched
}
