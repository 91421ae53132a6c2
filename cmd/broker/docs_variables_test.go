package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const variablesPage = "../../docs/variables.md"

// variableGroup is a part of docs/variables.md, and of the declaration: it goes from a variable to the next group's.
type variableGroup struct{ first, title, about string }

var variableGroups = []variableGroup{
	{"ETRUSTED_CLIENT_ID", "Credentials",
		"Better files than variables: they are followed while the broker runs, and `docker inspect` does not show them. How to replace them: [rotation.md](rotation.md). Several accounts: [accounts.md](accounts.md)."},
	{"ETRUSTED_API_URL", "eTrusted",
		"Nobody but a test needs another value. `https://` is a must, but for loopback addresses."},
	{"BROKER_LISTEN", "Where it listens",
		"On this machine alone, unless it is told otherwise. For other machines: [central.md](central.md). Sockets of systemd take the place of `BROKER_LISTEN`: [host.md](host.md)."},
	{"BROKER_ALLOW", "Who may use it, and for what",
		"A pattern such as `GET /reviews/` is all below it, `GET /reviews` that path alone, `{id}` one segment. All files are followed while the broker runs."},
	{"BROKER_TOKEN_STORE", "Sharing a token",
		"For many brokers with the same credentials: [store.md](store.md)."},
	{"BROKER_TOKEN_WAIT", "Times",
		"Written `10s` or `1m30s`. Whatever ends the broker must wait longer than `BROKER_SHUTDOWN_GRACE`: `TimeoutStopSec=`, `stop_grace_period`, `terminationGracePeriodSeconds`."},
	{"BROKER_REPLAY_401", "When the API refuses a token",
		"A token that was revoked before its time is replaced, and the request is sent again, once, if its body was kept."},
	{"BROKER_REWRITE_LINKS", "Apps that were not changed",
		"An app that stores links, or sends them back to the API, wants `BROKER_REWRITE_LINKS=false`."},
	{"BROKER_ACCESS_LOG", "Logs and profiles",
		"To standard error. What each line means: [troubleshooting.md](troubleshooting.md)."},
}

// TestVariablesPage holds that docs/variables.md is as the variables are declared.
func TestVariablesPage(t *testing.T) {
	t.Parallel()
	want := renderVariables(t)
	if os.Getenv("VARIABLES_PAGE") != "" {
		if err := os.WriteFile(variablesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(variablesPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/variables.md is not as config.go declares the variables. To write it anew: VARIABLES_PAGE=1 go test ./cmd/broker -run TestVariablesPage")
	}
}

func renderVariables(t *testing.T) string {
	t.Helper()
	var page strings.Builder
	fmt.Fprint(&page, `<!-- Written by VARIABLES_PAGE=1 go test ./cmd/broker -run TestVariablesPage, of cmd/broker/config.go. -->
# Variables

`+"`broker -h`"+` says the same, and `+"`broker config`"+` what they are now. A variable that is set but empty counts as not set, but for
`+"`BROKER_ADMIN_LISTEN`"+`. One that looks like the broker's and is not is warned of. `+"`broker config`"+` shows only the length of a secret, and of
what could be one in the wrong variable: long words, text with odd characters, paths that do not exist.
`)
	groups := variableGroups
	for i, v := range variables() {
		switch {
		case len(groups) > 0 && groups[0].first == v.name:
			fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| variable | default | meaning |\n|---|---|---|\n", groups[0].title, groups[0].about)
			groups = groups[1:]
		case i == 0:
			t.Fatalf("%s is in no group of docs/variables.md", v.name)
		}
		fallback := "–"
		if v.fallback != "" {
			fallback = "`" + v.fallback + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", v.name, fallback, strings.ReplaceAll(v.help, "|", `\|`))
	}
	if len(groups) > 0 {
		t.Fatalf("%s of docs/variables.md is not declared, or not in this order", groups[0].first)
	}
	fmt.Fprint(&page, `
## As for every program

| variable | meaning |
|---|---|
| `+"`HTTPS_PROXY`, `NO_PROXY`"+` | the proxy by which eTrusted is reached, and for which hosts it is not used |
| `+"`SSL_CERT_FILE`"+` | a bundle of authorities in place of the machine's |
| `+"`GOMEMLIMIT`"+` | where memory is limited, a little less than that: `+"`112MiB`"+` of 128 |
| `+"`GOMAXPROCS`"+` | how many cores to use; by default all, or what the container is given |
`)
	return page.String()
}

// TestREADMEVariables holds that the README's table has each variable once, with its default.
func TestREADMEVariables(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n## Variables\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string][]string{} // the defaults that are told of each
	name := regexp.MustCompile("`([A-Z][A-Z0-9_]+)`")
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) < 4 {
			continue
		}
		fallbacks := strings.Split(cells[2], ",")
		for i, match := range name.FindAllStringSubmatch(cells[1], -1) {
			rows[match[1]] = append(rows[match[1]], fallbacks[min(i, len(fallbacks)-1)])
		}
	}
	outside := []string{"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "GOMEMLIMIT", "GOMAXPROCS"}
	for _, v := range variables() {
		got := rows[v.name]
		delete(rows, v.name)
		if len(got) != 1 {
			t.Errorf("README.md has %s %d times", v.name, len(got))
			continue
		}
		if v.fallback != "" && !strings.Contains(got[0], "`"+v.fallback+"`") {
			t.Errorf("README.md says that the default of %s is %s, and it is %s", v.name, got[0], v.fallback)
		}
	}
	for name := range rows {
		if !slices.Contains(outside, name) {
			t.Errorf("README.md has %s, which is no variable of the broker", name)
		}
	}
}
