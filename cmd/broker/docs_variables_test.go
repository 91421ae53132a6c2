package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/config"
)

const variablesPage = "../../docs/variables.md"

// variableGroup is a section of docs/variables.md. It begins with the variable first, and ends before the next group.
type variableGroup struct{ first, title, about string }

var variableGroups = []variableGroup{
	{"ETRUSTED_CLIENT_ID", "Credentials",
		"Prefer files to variables: the broker watches them while it runs, and `docker inspect` does not show their content. How to replace credentials: [rotation.md](rotation.md). Several accounts: [accounts.md](accounts.md)."},
	{"ETRUSTED_API_URL", "eTrusted",
		"Only tests need other values, or an account in QA, which may have [its own](accounts.md#qa-next-to-production). URLs must start with `https://`, except for loopback addresses."},
	{"BROKER_LISTEN", "Where it listens",
		"By default the broker listens on this machine only. For other machines: [central.md](central.md). A socket passed by systemd replaces `BROKER_LISTEN`: [host.md](host.md)."},
	{"BROKER_ALLOW", "Who may use it, and for what",
		"The pattern `GET /reviews/` matches everything below that path, `GET /reviews` matches only that path, and `{id}` matches one segment. `etrusted-broker allow` writes the patterns: [allow.md](allow.md). The broker watches all these files while it runs."},
	{"BROKER_TOKEN_STORE", "Sharing a token",
		"For many brokers with the same credentials: [store.md](store.md)."},
	{"BROKER_TOKEN_WAIT", "Times",
		"Written as `10s` or `1m30s`. Whatever stops the broker must wait longer than `BROKER_SHUTDOWN_GRACE` before it kills it: `TimeoutStopSec=`, `stop_grace_period`, `terminationGracePeriodSeconds`."},
	{"BROKER_REPLAY_401", "When the API rejects a token",
		"If a token is revoked early, the broker replaces it and retries the request once, if it kept the body."},
	{"BROKER_REWRITE_LINKS", "Unchanged apps",
		"Set `BROKER_REWRITE_LINKS=false` for an app that stores links, or sends them back to the API. A wildcard in `BROKER_PASS_HOSTS` covers the ports 443 and 80, unless it has a port; a name or an address covers every port. `*.example.com` does not cover `example.com`. The API and the login server never pass through, nor do the broker's own listeners. `BROKER_ALLOW` is about the API only. Loopback, link-local, multicast and cloud metadata addresses pass only if they are in the list as addresses. With `HTTPS_PROXY` or `HTTP_PROXY`, that proxy resolves the names, and the broker can check only hosts that are addresses."},
	{"BROKER_ACCESS_LOG", "Logs and profiles",
		"The log goes to standard error. What each line means: [troubleshooting.md](troubleshooting.md)."},
}

// docs/variables.md is generated from the declared variables.
func TestVariablesPageIsCurrent(t *testing.T) {
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
		t.Error("docs/variables.md does not match the variables in internal/config. To regenerate it: VARIABLES_PAGE=1 go test ./cmd/broker -run TestVariablesPage")
	}
}

// renderVariables returns the content of docs/variables.md.
func renderVariables(t *testing.T) string {
	t.Helper()
	var page strings.Builder
	fmt.Fprint(&page, `<!-- Generated from internal/config by VARIABLES_PAGE=1 go test ./cmd/broker -run TestVariablesPage -->
# Variables

`+"`etrusted-broker -h`"+` prints this list, and `+"`etrusted-broker config`"+` the current values. An empty variable counts as unset, except
`+"`BROKER_ADMIN_LISTEN`"+`. Misspelt names cause a warning. `+"`etrusted-broker config`"+` shows only the length of a secret, and of anything that
may be a misplaced secret: long words, text with unusual characters, paths that do not exist.

## In a file

Every command reads variables from a file too: `+"`etrusted-broker -env-file FILE check`, or `etrusted-broker check -env-file FILE`"+`. Those in
the file replace those of the environment. Only `+"`GOMEMLIMIT` and `GOMAXPROCS`"+` must be in the environment. The syntax is that of systemd's
`+"`EnvironmentFile=`"+`:

`+"```sh"+`
# A comment begins with # or ;
BROKER_ALLOW=GET /reviews, GET /channels
ETRUSTED_CLIENT_SECRET_FILE="/run/secrets/client secret"
BROKER_ALLOWED_HOSTS=one.example, \
  two.example
`+"```"+`

Quotes around a value are removed. In single quotes every character is literal. In double quotes a backslash escapes only `+"`\"`, `\\`"+`, a
backtick and `+"`$`"+`; without quotes it escapes any character. A line that ends with a backslash continues, except in single quotes. On
Windows, a backslash is an ordinary character and continues no line.
`)
	groups := variableGroups
	for i, v := range config.Variables() {
		switch {
		case len(groups) > 0 && groups[0].first == v.Name:
			fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| variable | default | meaning |\n|---|---|---|\n", groups[0].title, groups[0].about)
			groups = groups[1:]
		case i == 0:
			t.Fatalf("%s is in no group of docs/variables.md", v.Name)
		}
		fallback := "–"
		if v.Fallback != "" {
			fallback = "`" + v.Fallback + "`"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", v.Name, fallback, strings.ReplaceAll(v.Help, "|", `\|`))
	}
	if len(groups) > 0 {
		t.Fatalf("%s of docs/variables.md is not declared, or not in this order", groups[0].first)
	}
	fmt.Fprint(&page, `
## As for every Go program

| variable | meaning |
|---|---|
| `+"`HTTPS_PROXY`, `NO_PROXY`"+` | the proxy for connections to eTrusted and to `+"`BROKER_PASS_HOSTS`"+` (`+"`HTTP_PROXY`"+` for their http URLs), and the hosts that need no proxy |
| `+"`SSL_CERT_FILE`"+` | a bundle of CA certificates that replaces the machine's; without effect on Windows and macOS, where the certificate store of the system counts |
| `+"`GOMEMLIMIT`"+` | where memory is limited, set it a little below the limit: `+"`112MiB`"+` of 128 |
| `+"`GOMAXPROCS`"+` | how many cores to use; by default all, or as many as the container may use |
`)
	return page.String()
}

// The README's table has each variable once, with its default.
func TestREADMEListsEveryVariable(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n## Variables\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string][]string{} // the defaults in each row
	name := regexp.MustCompile("`([A-Z][A-Z0-9_]+)`")
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		fallbacks := strings.Split(cells[2], ",")
		for i, match := range name.FindAllStringSubmatch(cells[1], -1) {
			rows[match[1]] = append(rows[match[1]], fallbacks[min(i, len(fallbacks)-1)])
		}
	}
	ofGo := []string{"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "GOMEMLIMIT", "GOMAXPROCS"}
	for _, v := range config.Variables() {
		got := rows[v.Name]
		delete(rows, v.Name)
		if len(got) != 1 {
			t.Errorf("got %s %d times in README.md, want once", v.Name, len(got))
			continue
		}
		if v.Fallback != "" && !strings.Contains(got[0], "`"+v.Fallback+"`") {
			t.Errorf("the default of %s in README.md: got %s, want %s", v.Name, got[0], v.Fallback)
		}
	}
	for name := range rows {
		if !slices.Contains(ofGo, name) {
			t.Errorf("README.md has %s, which is not a variable of the broker", name)
		}
	}
}
