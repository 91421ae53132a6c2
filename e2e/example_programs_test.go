package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// accessKey is the BROKER_ACCESS_KEY of these tests.
const accessKey = "access-key-0815-4711"

// TestExampleProgramsWork runs the programs of ../examples in every setup that their READMEs describe.
func TestExampleProgramsWork(t *testing.T) {
	t.Parallel()
	for _, example := range []struct {
		language      *language
		before, after string
	}{
		{php, "before.php", "after.php"},
		{node, "before.mjs", "after.mjs"},
		{java, "Before.java", "After.java"},
	} {
		dir := filepath.Join("..", "examples", example.language.name)
		for _, test := range []struct {
			name, file string
			patched    bool // with the README's diff
			accessKey  bool
			setup      appSetup
		}{
			{"before", example.before, false, false, viaBaseURL},
			{"after", example.after, false, false, viaBaseURL},
			{"before, hard-coded", example.before, false, false, viaHTTPSProxy},
			{"before, with an access key", example.before, false, true, viaBaseURL},
			{"after, with an access key", example.after, true, true, viaBaseURL},
		} {
			t.Run(example.language.name+" "+test.name, func(t *testing.T) {
				t.Parallel()
				example.language.need(t)
				if example.language == node && test.setup.name == viaHTTPSProxy.name {
					needNodeProxySupport(t)
				}
				file := filepath.Join(dir, test.file)
				if test.patched {
					file = applyReadmeDiff(t, filepath.Join(dir, "README.md"), file)
				}
				r := startReviewsServers(t)
				r.secrets = append(r.secrets, accessKey) // must not be in the log
				environ, more := []string{}, withEnv("NODE_USE_ENV_PROXY=1")
				if test.accessKey {
					environ = append(environ, "BROKER_ACCESS_KEY="+accessKey)
					more = more.with(withEnv("BROKER_ACCESS_KEY="+accessKey, "ETRUSTED_CLIENT_SECRET="+accessKey))
				}
				printed, err := example.language.run(t, file, test.setup.startBroker(t, r, example.language, environ...).with(more))
				if err != nil {
					t.Fatal(err)
				}
				r.wantReviews(t, printed)
				r.wantNoAppCredentials(t)
			})
		}
	}
}

// needNodeProxySupport skips the test if Node's fetch ignores proxies. There an app needs npm packages, which this module
// does not install.
func needNodeProxySupport(t *testing.T) {
	t.Helper()
	if !exitsZero("node", "-e", `process.exit(process.allowedNodeEnvironmentFlags.has("--use-env-proxy") ? 0 : 1)`)() {
		t.Skip("THIS NODE'S FETCH IGNORES PROXIES: what the README says about newer versions is NOT TESTED")
	}
}

// applyReadmeDiff applies the only diff of the README to a copy of the file, and returns the path of the copy.
func applyReadmeDiff(t *testing.T, readme, file string) string {
	t.Helper()
	program := readFile(t, file)
	_, diff, _ := strings.Cut(readFile(t, readme), "```diff\n")
	diff, rest, _ := strings.Cut(diff, "```")
	if diff == "" || strings.Contains(rest, "```diff") {
		t.Fatalf("%s must contain exactly one diff", readme)
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
	if strings.Count(program, before.String()) != 1 {
		t.Fatalf("the diff in %s does not apply to %s:\n%s", readme, file, &before)
	}
	dir, name := t.TempDir(), filepath.Base(file)
	writeFiles(t, dir, map[string]string{name: strings.Replace(program, before.String(), after.String(), 1)})
	return filepath.Join(dir, name)
}
