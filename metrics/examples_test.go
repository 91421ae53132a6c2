package metrics

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The files of ../examples that live off our metrics.
var (
	dashboardFile = filepath.Join("..", "examples", "grafana", "dashboard.json")
	rulesFile     = filepath.Join("..", "examples", "prometheus", "rules.yml")
	rulesTestFile = filepath.Join("..", "examples", "prometheus", "rules_test.yml")
)

// TestExamplesUseWhatIsThere holds that the dashboard and the alerts ask for metrics and labels that the broker exports:
// for one that is not there Prometheus answers with nothing, and an alert on nothing is quiet for ever.
func TestExamplesUseWhatIsThere(t *testing.T) {
	t.Parallel()
	there := gather(t)
	for file, least := range map[string]int{dashboardFile: 18, rulesFile: 8, rulesTestFile: 8} {
		used, problems := there.check(queries(t, file))
		for _, problem := range problems {
			t.Errorf("%s: %s", file, problem)
		}
		if len(used) < least { // or it was not read
			t.Errorf("%s uses %d metrics, %v, want at least %d", file, len(used), used, least)
		}
	}
}

// TestMistakesAreSeen holds that the test above can fail.
func TestMistakesAreSeen(t *testing.T) {
	t.Parallel()
	there := gather(t)
	for text, problem := range map[string]string{
		`etrusted_broker_token_expiry_timestamp{account="default"}`:            "etrusted_broker_token_expiry_timestamp is not exported",
		`rate(etrusted_broker_requests_in_flight_count[5m])`:                   "etrusted_broker_requests_in_flight_count is not exported",
		`process_cpu_second_total`:                                             "process_cpu_second_total is not exported",
		`etrusted_broker_requests_total{account="-", status=~"5.."}`:           "etrusted_broker_requests_total has no label status",
		`etrusted_broker_request_duration_seconds_sum{le="1"}`:                 "etrusted_broker_request_duration_seconds_sum has no label le",
		`etrusted_broker_requests_in_flight{account="default"}`:                "etrusted_broker_requests_in_flight has no label account",
		`etrusted_broker_token_refreshes_total{outcome=~"rejected|refused"}`:   "etrusted_broker_token_refreshes_total never has the outcome refused",
		`etrusted_broker_credential_reloads_total{outcome="failed"}`:           "etrusted_broker_credential_reloads_total never has the outcome failed",
		`etrusted_broker_token_waits_total{account="a, b", outcome='success'}`: "etrusted_broker_token_waits_total has no label outcome",
		`sum by (accounts) (etrusted_broker_token_waits_total)`:                "nothing has the label accounts",
		`summary: {{ $labels.acount }}`:                                        "nothing has the label acount",
		`etrusted_broker_token_waits_total and ignoring (result) vector(0)`:    "nothing has the label result",
	} {
		if runtime.GOOS != "linux" && strings.HasPrefix(text, "process_") {
			continue // there are none
		}
		if _, problems := there.check(text); len(problems) != 1 || problems[0] != problem {
			t.Errorf("%s: %q, want %q", text, problems, problem)
		}
	}
	good := `histogram_quantile(0.9, sum without (le, instance) (rate(etrusted_broker_request_duration_seconds_bucket{le!="1", job="a{b}"}[5m])))`
	if used, problems := there.check(good); len(problems) != 0 || len(used) != 1 {
		t.Errorf("%s: %v, %q", good, used, problems)
	}
}

// TestEveryAlertIsTested holds that rules_test.yml has each alert fire and be quiet, and that each says what whoever is
// woken by it needs to know. (That the tests hold is promtool's to tell: see ../e2e.)
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	fires, quiet := map[string]bool{}, map[string]bool{}
	tests := regexp.MustCompile(`(?m)^  - name:|^    promql_expr_test:|\balertname: `).Split(queries(t, rulesTestFile), -1)
	for _, test := range tests { // those of alerts begin with its name, and the others with none
		alert := regexp.MustCompile(`^\w*`).FindString(test)
		if strings.Contains(test, "exp_labels:") {
			fires[alert] = true
		} else {
			quiet[alert] = true
		}
	}
	rules := strings.Split(queries(t, rulesFile), "- alert: ")[1:]
	for _, rule := range rules {
		alert, _, _ := strings.Cut(rule, "\n")
		if !fires[alert] || !quiet[alert] {
			t.Errorf("%s: fires in a test: %v; is quiet in a test: %v", alert, fires[alert], quiet[alert])
		}
		for _, field := range []string{"expr", "for", "severity", "summary", "description"} {
			if n := len(regexp.MustCompile(`(?m)^ {8,10}`+field+`: .`).FindAllString(rule, -1)); n != 1 {
				t.Errorf("%s has the field %s %d times", alert, field, n)
			}
		}
		delete(fires, alert)
	}
	if len(rules) < 7 {
		t.Errorf("%d alerts", len(rules))
	}
	for alert := range fires {
		t.Errorf("%s is tested, but is no alert", alert)
	}
}

// TestDashboard holds what makes it readable: the four questions, a unit and a word about each panel, and nothing that
// would have to be installed first.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Datasource               struct{ UID string }
			Targets                  []struct{ Expr string }
			FieldConfig              struct{ Defaults struct{ Unit string } }
		}
	}
	if err := json.Unmarshal(read(t, dashboardFile), &dashboard); err != nil {
		t.Fatal(err)
	}
	var rows []string
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: another panel has the id %d", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		at := panel.GridPos
		if at.X < 0 || at.W < 1 || at.H < 1 || at.X+at.W > 24 {
			t.Errorf("%s: at %v", panel.Title, at)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", panel.Title, other)
				}
				taken[[2]int{x, y}] = panel.Title
			}
		}
		switch panel.Type {
		case "row":
			rows = append(rows, panel.Title)
			continue
		case "stat", "timeseries", "table": // which every Grafana has
		default:
			t.Errorf("%s is a %s", panel.Title, panel.Type)
		}
		if panel.Description == "" || len(panel.Targets) == 0 || panel.Datasource.UID != "${datasource}" ||
			panel.Type != "table" && panel.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s lacks a description, a unit, a query, or the choice of Prometheus", panel.Title)
		}
	}
	if want := []string{"Is there a token?", "Is it refreshed in time?", "Is the API answering?", "Who was refused?"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}

// queries returns what of a file Prometheus gets to see: of JSON the expressions, legends and variables, each on a line of
// its own, and of YAML all but comments.
func queries(t *testing.T, file string) string {
	t.Helper()
	text := read(t, file)
	if filepath.Ext(file) != ".json" {
		return regexp.MustCompile(`(?m)^ *#.*$| # .*$`).ReplaceAllString(string(text), "")
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var found []string
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, element := range value {
				walk(element)
			}
		case map[string]any:
			for _, key := range []string{"expr", "definition", "query", "legendFormat", "titleFormat"} {
				if text, ok := value[key].(string); ok {
					found = append(found, text)
				}
			}
			for _, element := range value {
				walk(element)
			}
		}
	}
	walk(value)
	return strings.Join(found, "\n")
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// exported are the names that a scrape may bring, each with its labels and their values.
type exported map[string]map[string][]string

// gather returns what a broker exports in which everything has happened once.
func gather(t *testing.T) exported {
	t.Helper()
	families, err := used().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := exported{}
	for _, family := range families {
		labels := map[string][]string{"job": nil, "instance": nil} // which Prometheus adds
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = append(labels[label.GetName()], label.GetValue())
			}
		}
		name, one := family.GetName(), family.GetMetric()[0]
		there[name] = labels
		if one.GetHistogram() != nil || one.GetSummary() != nil {
			there[name+"_sum"], there[name+"_count"] = labels, labels
		}
		if one.GetHistogram() != nil { // which without a suffix is the native one
			there[name+"_bucket"] = maps.Clone(labels)
			there[name+"_bucket"]["le"] = nil
		}
	}
	return there
}

// closed are the metrics whose outcomes are all there from the start.
var closed = []string{namespace + "_token_refreshes_total", namespace + "_credential_reloads_total"}

var (
	// A metric of ours or of the collectors, with its matchers, if it has any. Values may hold braces.
	selector = regexp.MustCompile(`\b((?:` + namespace + `|go|process)_\w+)(?:\{((?:[^{}"']|"[^"]*"|'[^']*')*)\})?`)
	matcher  = regexp.MustCompile(`(\w+) *(?:=~|!~|!=|=) *(?:"([^"]*)"|'([^']*)')`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)`)
	template = regexp.MustCompile(`\{\{ *(?:\$labels\.)?(\w+) *\}\}`)
	word     = regexp.MustCompile(`\w+`)
)

// check returns the metrics that are used in queries, and what is wrong with them.
func (e exported) check(queries string) (used, problems []string) {
	found := map[string]bool{}
	for _, match := range selector.FindAllStringSubmatch(queries, -1) {
		name := match[1]
		switch _, known := e[name]; {
		case known:
			found[name] = true
			problems = append(problems, e.mismatches(name, match[2])...)
		case runtime.GOOS == "linux" || !strings.HasPrefix(name, "process_"): // elsewhere there are none
			problems = append(problems, name+" is not exported")
		}
	}
	for _, label := range e.unknownLabels(queries) {
		problems = append(problems, "nothing has the label "+label)
	}
	slices.Sort(problems)
	return slices.Sorted(maps.Keys(found)), slices.Compact(problems)
}

// mismatches tells of matchers that can match no series of the metric.
func (e exported) mismatches(name, matchers string) (problems []string) {
	for _, match := range matcher.FindAllStringSubmatch(matchers, -1) {
		label, value := match[1], match[2]+match[3]
		values, known := e[name][label]
		if !known {
			problems = append(problems, fmt.Sprintf("%s has no label %s", name, label))
			continue
		}
		if label != "outcome" || !slices.Contains(closed, name) {
			continue
		}
		for outcome := range strings.SplitSeq(value, "|") {
			if !slices.Contains(values, outcome) {
				problems = append(problems, fmt.Sprintf("%s never has the outcome %s", name, outcome))
			}
		}
	}
	return problems
}

// unknownLabels returns those that queries group, match or write by, and that no metric has.
func (e exported) unknownLabels(queries string) []string {
	var asked []string
	for _, match := range grouping.FindAllStringSubmatch(queries, -1) {
		asked = append(asked, word.FindAllString(match[1], -1)...)
	}
	for _, match := range template.FindAllStringSubmatch(queries, -1) {
		asked = append(asked, match[1])
	}
	known := map[string]bool{"alertname": true} // of ALERTS
	for _, labels := range e {
		for label := range labels {
			known[label] = true
		}
	}
	return slices.DeleteFunc(asked, func(label string) bool { return known[label] })
}
