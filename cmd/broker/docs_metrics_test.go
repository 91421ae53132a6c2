package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

const metricsPage = "../../docs/metrics.md"

// docs/metrics.md has every metric that a broker with every feature exports, with its help text, and every value of the labels
// whose values are a closed list.
func TestMetricsPageIsCurrent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	metrics := scrapeEveryMetric(t)
	if want := renderMetrics(metrics); !strings.Contains(page, "\n\n"+want+"\n") {
		t.Errorf("the table in docs/metrics.md does not match what /metrics exports. It must be:\n%s", want)
	}
	for _, m := range metrics {
		for _, label := range []string{"outcome", "reason"} {
			want, got := m.labels[label], documentedValues(page, m.name, label)
			slices.Sort(want)
			slices.Sort(got)
			if want = slices.Compact(want); !slices.Equal(got, want) {
				t.Errorf("docs/metrics.md, %s: got the values %q of the label %s, want %q", m.name, got, label, want)
			}
		}
	}
}

// scrapedMetric is a metric of /metrics in the text format, with the values of its labels.
type scrapedMetric struct {
	name, kind, help string
	labels           map[string][]string
}

// scrapeEveryMetric returns the metrics of a broker that has callers and a token store and has served a request: then each metric
// has a series, and each series all its labels. The store need not exist.
func scrapeEveryMetric(t *testing.T) []scrapedMetric {
	t.Helper()
	callers := t.TempDir()
	addFiles(t, callers, "shop", "key", "shop-key")
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"BROKER_CALLERS_DIR="+callers, "BROKER_TOKEN_STORE=redis://"+brokertest.ClosedPort(t)))
	b.WaitReady()
	if got := getWithKey(t, b.URL+"/channels", "shop-key"); got.Status != 200 {
		t.Fatalf("got status %d, want 200: %s", got.Status, got.Body)
	}
	b.WaitRecorded()
	var all []scrapedMetric
	label := regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
	for line := range strings.Lines(brokertest.Get(t, b.Admin+"/metrics").Body) {
		line = strings.TrimSuffix(line, "\n")
		if help, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(help, " ")
			all = append(all, scrapedMetric{name: name, help: help, labels: map[string][]string{}})
			continue
		}
		m := &all[len(all)-1]
		if kind, ok := strings.CutPrefix(line, "# TYPE "+m.name+" "); ok {
			m.kind = kind
			continue
		}
		for _, found := range label.FindAllStringSubmatch(line, -1) {
			if found[1] != "le" { // of a histogram's buckets
				m.labels[found[1]] = append(m.labels[found[1]], found[2])
			}
		}
	}
	return slices.DeleteFunc(all, func(m scrapedMetric) bool {
		return strings.HasPrefix(m.name, "go_") || strings.HasPrefix(m.name, "process_")
	})
}

// renderMetrics returns the table of metrics.
func renderMetrics(metrics []scrapedMetric) string {
	var table strings.Builder
	fmt.Fprint(&table, "| metric | type | labels | meaning |\n|---|---|---|---|")
	identifier := regexp.MustCompile(`[A-Za-z]+(_[A-Za-z]+)+`)
	for _, m := range metrics {
		labels := "–"
		if names := slices.Sorted(maps.Keys(m.labels)); len(names) > 0 {
			labels = "`" + strings.Join(names, "`, `") + "`"
		}
		help := identifier.ReplaceAllString(strings.ReplaceAll(m.help, "|", `\|`), "`$0`")
		fmt.Fprintf(&table, "\n| `%s` | %s | %s | %s |", m.name, m.kind, labels, help)
	}
	return table.String()
}

// documentedValues returns the first column of the table below the heading of a metric, if that column is called label.
func documentedValues(page, metric, label string) (values []string) {
	_, section, _ := strings.Cut(page, "\n### `"+metric+"`\n")
	section, _, _ = strings.Cut(section, "\n#")
	_, table, _ := strings.Cut(section, "\n| `"+label+"` | meaning |\n|---|---|\n")
	for row := range strings.SplitSeq(table, "\n") {
		if value, _, ok := strings.Cut(strings.TrimPrefix(row, "| `"), "` | "); ok {
			values = append(values, value)
		}
	}
	return values
}
