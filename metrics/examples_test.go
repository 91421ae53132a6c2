package metrics

import (
	"bytes"
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

	"etrusted-broker/proxy/access"
)

// The files in ../examples and ../docs that use the metrics.
var (
	metricsPage   = filepath.Join("..", "docs", "metrics.md")
	dashboardFile = filepath.Join("..", "examples", "grafana", "dashboard.json")
	rulesFile     = filepath.Join("..", "examples", "prometheus", "rules.yml")
	rulesTestFile = filepath.Join("..", "examples", "prometheus", "rules_test.yml")
)

// TestExamplesUseExportedMetrics: for an unknown metric or label Prometheus returns nothing, and an alert on it never
// fires.
func TestExamplesUseExportedMetrics(t *testing.T) {
	t.Parallel()
	exported := gatherNames(t)
	for file, least := range map[string]int{dashboardFile: 18, rulesFile: 8, rulesTestFile: 8, metricsPage: 5} {
		used, problems := exported.check(queryText(t, file))
		for _, problem := range problems {
			t.Errorf("%s: %s", file, problem)
		}
		if len(used) < least { // or it was not read
			t.Errorf("%s uses %d metrics, %v, want at least %d", file, len(used), used, least)
		}
	}
}

// TestQueryCheckFindsMistakes shows that the test above can fail.
func TestQueryCheckFindsMistakes(t *testing.T) {
	t.Parallel()
	exported := gatherNames(t)
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
			continue // not all are exported on other systems
		}
		if _, problems := exported.check(text); len(problems) != 1 || problems[0] != problem {
			t.Errorf("%s: %q, want %q", text, problems, problem)
		}
	}
	good := `histogram_quantile(0.9, sum without (le, instance) (rate(etrusted_broker_request_duration_seconds_bucket{le!="1", job="a{b}"}[5m])))`
	if used, problems := exported.check(good); len(problems) != 0 || len(used) != 1 {
		t.Errorf("%s: %v, %q", good, used, problems)
	}
}

// TestEveryAlertIsTested: rules_test.yml has each alert fire and not fire, and each alert has the fields that a reader
// needs. (promtool runs these tests: see ../e2e.)
func TestEveryAlertIsTested(t *testing.T) {
	t.Parallel()
	fires, quiet := map[string]bool{}, map[string]bool{}
	tests := regexp.MustCompile(`(?m)^  - name:|^    promql_expr_test:|\balertname: `).Split(queryText(t, rulesTestFile), -1)
	for _, test := range tests { // a test of an alert begins with its name, others with none
		alert := regexp.MustCompile(`^\w*`).FindString(test)
		if strings.Contains(test, "exp_labels:") {
			fires[alert] = true
		} else {
			quiet[alert] = true
		}
	}
	rules := strings.Split(queryText(t, rulesFile), "- alert: ")[1:]
	for _, rule := range rules {
		alert, _, _ := strings.Cut(rule, "\n")
		if !fires[alert] || !quiet[alert] {
			t.Errorf("%s: got a test that fires: %v, and one that does not: %v; want both", alert, fires[alert], quiet[alert])
		}
		for _, field := range []string{"expr", "for", "severity", "summary", "description"} {
			if n := len(regexp.MustCompile(`(?m)^ {8,10}`+field+`: .`).FindAllString(rule, -1)); n != 1 {
				t.Errorf("%s: got field %s %d times, want once", alert, field, n)
			}
		}
		delete(fires, alert)
	}
	if len(rules) < 7 {
		t.Errorf("got %d alerts, want at least 7", len(rules))
	}
	for alert := range fires {
		t.Errorf("%s is tested, but rules.yml has no such alert", alert)
	}
}

// TestDashboard: four rows, a unit and a description for each panel, and only panel types that are built in.
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
	if err := json.Unmarshal(readFile(t, dashboardFile), &dashboard); err != nil {
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
		case "stat", "timeseries", "table": // built in
		default:
			t.Errorf("%s: got panel type %s, want a built-in one", panel.Title, panel.Type)
		}
		if panel.Description == "" || len(panel.Targets) == 0 || panel.Datasource.UID != "${datasource}" ||
			panel.Type != "table" && panel.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s lacks a description, a unit, a query, or the choice of Prometheus", panel.Title)
		}
	}
	if want := []string{"Is there a token?", "Is it refreshed in time?", "Is the API answering?", "Which requests were refused?"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}

// TestDashboardExplainsReasons: the table of refused requests has a text for each reason.
func TestDashboardExplainsReasons(t *testing.T) {
	t.Parallel()
	text := string(readFile(t, dashboardFile))
	for _, reason := range access.Reasons {
		if want := fmt.Sprintf(`"text": "%s: `, reason); !strings.Contains(text, want) {
			t.Errorf("got no %s…\" in %s", want, dashboardFile)
		}
	}
}

// TestMetricsPageHasEveryMethod: the label method has a closed list of values, but not a series for each from the start.
func TestMetricsPageHasEveryMethod(t *testing.T) {
	t.Parallel()
	want := "| `method` | `" + strings.Join(methodLabels[:len(methodLabels)-1], "`, `") + "`, or `" + methodLabels[len(methodLabels)-1] + "` |"
	if !strings.Contains(string(readFile(t, metricsPage)), want) {
		t.Errorf("got no line %s in %s", want, metricsPage)
	}
}

// queryText returns the parts of a file that reach Prometheus: the expressions, legends and variables of JSON, one per
// line; YAML without comments; the queries of Markdown.
func queryText(t *testing.T, file string) string {
	t.Helper()
	text := readFile(t, file)
	switch filepath.Ext(file) {
	case ".md":
		return string(bytes.Join(regexp.MustCompile("(?ms)^```promql$.*?^```$").FindAll(text, -1), []byte("\n")))
	case ".yml":
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

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// exportedNames maps each exported name to its labels and their values.
type exportedNames map[string]map[string][]string

// gatherNames returns the names that a broker exports once each metric has a series.
func gatherNames(t *testing.T) exportedNames {
	t.Helper()
	families, err := newUsedMetrics().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	m := newMetricsWithCallers() // its series have all labels of the others, and the caller
	m.Observe(Request{Account: "default", Method: "GET", Status: 200})
	withCallers, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := exportedNames{}
	for _, family := range append(families, withCallers...) {
		labels := map[string][]string{"job": nil, "instance": nil} // added by Prometheus
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = append(labels[label.GetName()], label.GetValue())
			}
		}
		name, one := family.GetName(), family.GetMetric()[0]
		exported[name] = labels
		if one.GetHistogram() != nil || one.GetSummary() != nil {
			exported[name+"_sum"], exported[name+"_count"] = labels, labels
		}
		if one.GetHistogram() != nil { // the name without a suffix is the native histogram
			exported[name+"_bucket"] = maps.Clone(labels)
			exported[name+"_bucket"]["le"] = nil
		}
	}
	return exported
}

// fixedOutcomes are metrics whose outcomes are all exported from the start.
var fixedOutcomes = []string{namespace + "_token_refreshes_total", namespace + "_credential_reloads_total"}

var (
	// A metric with its matchers, if any. Values may contain braces.
	selector = regexp.MustCompile(`\b((?:` + namespace + `|go|process)_\w+)(?:\{((?:[^{}"']|"[^"]*"|'[^']*')*)\})?`)
	matcher  = regexp.MustCompile(`(\w+) *(?:=~|!~|!=|=) *(?:"([^"]*)"|'([^']*)')`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)`)
	template = regexp.MustCompile(`\{\{ *(?:\$labels\.)?(\w+) *\}\}`)
	word     = regexp.MustCompile(`\w+`)
)

// check returns the metrics that queries use, and the problems found.
func (e exportedNames) check(queries string) (used, problems []string) {
	found := map[string]bool{}
	for _, match := range selector.FindAllStringSubmatch(queries, -1) {
		name := match[1]
		switch _, known := e[name]; {
		case known:
			found[name] = true
			problems = append(problems, e.mismatches(name, match[2])...)
		case runtime.GOOS == "linux" || !strings.HasPrefix(name, "process_"): // not all are exported on other systems
			problems = append(problems, name+" is not exported")
		}
	}
	for _, label := range e.unknownLabels(queries) {
		problems = append(problems, "nothing has the label "+label)
	}
	slices.Sort(problems)
	return slices.Sorted(maps.Keys(found)), slices.Compact(problems)
}

// mismatches returns a problem for each matcher that can match no series of the metric.
func (e exportedNames) mismatches(name, matchers string) (problems []string) {
	for _, match := range matcher.FindAllStringSubmatch(matchers, -1) {
		label, value := match[1], match[2]+match[3]
		values, known := e[name][label]
		if !known {
			problems = append(problems, fmt.Sprintf("%s has no label %s", name, label))
			continue
		}
		if label != "outcome" || !slices.Contains(fixedOutcomes, name) {
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

// unknownLabels returns the labels in queries that no metric has.
func (e exportedNames) unknownLabels(queries string) []string {
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
