package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// accessKey is the BROKER_ACCESS_KEY of these tests.
const accessKey = "access-key-0815-4711"

// TestExampleProgramsWork runs the programs of ../examples in every setup that their READMEs describe.
func TestExampleProgramsWork(t *testing.T) {
	t.Parallel()
	withKey := appSetup{"with an access key", func(*testing.T) ([]string, string) {
		return []string{"BROKER_ACCESS_KEY=" + accessKey}, ""
	}, func(t *testing.T, l *language, b *broker, _ string) programConfig {
		return viaBaseURL.appConfig(t, l, b, "").with(programConfig{env: []string{"BROKER_ACCESS_KEY=" + accessKey, "ETRUSTED_CLIENT_SECRET=" + accessKey}})
	}}
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
			setup      appSetup
		}{
			{"before", example.before, false, viaBaseURL},
			{"after", example.after, false, viaBaseURL},
			{"before, hard-coded", example.before, false, viaHTTPSProxy},
			{"before, with an access key", example.before, false, withKey},
			{"after, with an access key", example.after, true, withKey},
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
				environ, caFile := test.setup.brokerEnv(t)
				config := test.setup.appConfig(t, example.language, r.startBroker(t, environ...), caFile)
				printed, err := example.language.run(t, file, dummyCredentials.with(programConfig{env: []string{"NODE_USE_ENV_PROXY=1"}}).with(config))
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
	if !nodeFetchUsesProxy() {
		t.Skip("THIS NODE'S FETCH IGNORES PROXIES: what the README says about newer versions is NOT TESTED")
	}
}

var nodeFetchUsesProxy = exitsZero("node", "-e", `process.exit(process.allowedNodeEnvironmentFlags.has("--use-env-proxy") ? 0 : 1)`)

// applyReadmeDiff applies the only diff of the README to a copy of the file, and returns the path of the copy.
func applyReadmeDiff(t *testing.T, readme, file string) string {
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
	if strings.Count(string(program), before.String()) != 1 {
		t.Fatalf("the diff in %s does not apply to %s:\n%s", readme, file, &before)
	}
	patched := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(patched, []byte(strings.Replace(string(program), before.String(), after.String(), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return patched
}
