package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestDashboardQueriesReturnData runs every query of the dashboard on a real Prometheus that scrapes a real broker: each must
// return data. No alert of ../examples may fire meanwhile.
//
// Prometheus stores histograms either in classic buckets or, with a feature flag, only as native histograms. The dashboard must
// work with both.
func TestDashboardQueriesReturnData(t *testing.T) {
	t.Parallel()
	needPrometheusTool(t, "prometheus")
	servers := startTestServers(t, time.Minute)
	accounts := t.TempDir()
	writeFiles(t, accounts, account("shop-at", servers.login.currentSecret()))
	b := servers.startReadyBroker(t, "ETRUSTED_ACCOUNTS_DIR="+accounts, "BROKER_ALLOW=GET /channels", "BROKER_ALLOW_MODE=warn")
	fetched := time.Now()
	board := readDashboard(t)
	scrapeAddr := strings.TrimPrefix(b.adminURL, "http://")
	prometheusByHistograms := map[string]*prometheusServer{
		"classic histograms": startPrometheus(t, scrapeAddr, "exemplar-storage"),
		"native histograms":  startPrometheus(t, scrapeAddr, "exemplar-storage,native-histograms"),
	}
	load := b.startLoad(t)
	b.sendEveryKindOfRequest(t)
	for name, p := range prometheusByHistograms {
		p.waitForScrape(t)
		brokertest.Eventually(t, "Prometheus has two samples of each counter before it rises, "+name, func() bool {
			return len(p.querySeries(t, "query", url.Values{"query": {`count_over_time(etrusted_broker_replays_total{account="default",outcome="success"}[1m]) > 1`}})) > 0
		})
	}
	sleepUntilOld(fetched)
	for _, token := range servers.api.tokens() {
		servers.login.revoke(t, servers.ca.client(t), token)
	}
	for range 3 {
		b.sendEveryKindOfRequest(t)
		time.Sleep(time.Second)
	}
	for name, p := range prometheusByHistograms {
		t.Run(name, func(t *testing.T) {
			view := dashboardView{dashboard: board, prometheus: p, from: time.Now().Add(-12 * time.Second), to: time.Now()}
			for _, panel := range board.Panels {
				for _, query := range panel.Targets {
					view.wantData(t, panel, query)
				}
			}
			for variable, want := range map[string]string{"instance": "[shop-1]", "account": "[default shop-at]"} {
				if got := fmt.Sprint(view.choices(t, variable)); got != want {
					t.Errorf("choices of the variable %s: got %s, want %s", variable, got, want)
				}
			}
			for _, annotation := range board.Annotations.List {
				if annotation.Expr != "" {
					p.querySeries(t, "query", url.Values{"query": {view.substitute(t, annotation.Expr)}})
				}
			}
			for title, want := range map[string]string{"Accounts without a token": "0", "Brokers": "1", "Open to other machines": "0"} {
				panel := board.panel(t, title)
				if got := view.evaluate(t, panel.Targets[0]); len(got) != 1 || fmt.Sprint(got[0].last()) != want {
					t.Errorf("panel %q: got %v, want one series with the last value %s", title, got, want)
				}
			}
			p.wantNoFiringAlerts(t)
		})
	}
	load.stop()
	// This is the only format with exemplars.
	openMetrics := brokertest.Get(t, b.adminURL+"/metrics", "Accept: application/openmetrics-text; version=1.0.0").Body
	if title := "How long requests take"; strings.Contains(openMetrics, "trace_id") {
		view := dashboardView{dashboard: board, prometheus: prometheusByHistograms["classic histograms"], from: fetched, to: time.Now()}
		if view.countExemplars(t, board.panel(t, title).Targets[0]) == 0 {
			t.Errorf("panel %q: got no exemplars, but the broker's metrics have some", title)
		}
	}
}

// wantData fails the test if a query of the dashboard returns no value, or only NaN.
func (v dashboardView) wantData(t *testing.T, panel dashboardPanel, query panelQuery) {
	t.Helper()
	if !query.Range && !query.Instant {
		t.Errorf("panel %q, query %s: neither a range query nor an instant query", panel.Title, query.RefID)
	}
	result := v.evaluate(t, query)
	for _, one := range result {
		if slices.ContainsFunc(one, func(value float64) bool { return !math.IsNaN(value) }) {
			return
		}
	}
	t.Errorf("panel %q, query %s: got %d series without a value, want data: %s", panel.Title, query.RefID, len(result), v.substitute(t, query.Expr))
}

// dashboard is the part of Grafana's dashboard model that is needed to run its queries.
type dashboard struct {
	Panels     []dashboardPanel
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct {
		List []struct{ Expr string }
	}
}

type dashboardPanel struct {
	Title   string
	Targets []panelQuery
}

// panelQuery is one query of a panel.
type panelQuery struct {
	RefID, Expr    string
	Range, Instant bool
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var board dashboard
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join("..", "examples", "grafana", "dashboard.json"))), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 12 {
		t.Fatalf("the dashboard has %d panels, want at least 12", len(board.Panels))
	}
	return board
}

func (d dashboard) panel(t *testing.T, title string) dashboardPanel {
	t.Helper()
	i := slices.IndexFunc(d.Panels, func(panel dashboardPanel) bool { return panel.Title == title })
	if i < 0 {
		t.Fatalf("the dashboard has no panel %q", title)
	}
	return d.Panels[i]
}

// dashboardView is a dashboard with a time range. All brokers and all accounts are selected. Graphs have a point per scrape.
type dashboardView struct {
	dashboard  dashboard
	prometheus *prometheusServer
	from, to   time.Time
}

// substitute replaces the variables in an expression as Grafana does. Its window for rate() is at least four scrapes.
func (v dashboardView) substitute(t *testing.T, expr string) string {
	t.Helper()
	expr = strings.NewReplacer(
		"$__rate_interval", milliseconds(4*scrapeInterval),
		"$__range", milliseconds(v.to.Sub(v.from)),
		`"$instance"`, `".*"`, `"$account"`, `".*"`,
	).Replace(expr)
	if strings.Contains(expr, "$") {
		t.Fatalf("unknown variable in %s", expr)
	}
	return expr
}

// evaluate runs a query of a panel and returns the series that the panel would show.
func (v dashboardView) evaluate(t *testing.T, query panelQuery) []series {
	t.Helper()
	values := url.Values{"query": {v.substitute(t, query.Expr)}}
	if query.Instant {
		values.Set("time", unix(v.to))
		return v.prometheus.querySeries(t, "query", values)
	}
	values.Set("start", unix(v.from))
	values.Set("end", unix(v.to))
	values.Set("step", milliseconds(scrapeInterval))
	return v.prometheus.querySeries(t, "query_range", values)
}

// countExemplars returns how many exemplars a query has. Each must have a numeric value and a trace ID.
func (v dashboardView) countExemplars(t *testing.T, query panelQuery) (count int) {
	t.Helper()
	var result []struct {
		Exemplars []struct {
			Labels map[string]string
			Value  string
		}
	}
	values := url.Values{"query": {v.substitute(t, query.Expr)}, "start": {unix(v.from)}, "end": {unix(v.to)}}
	v.prometheus.get(t, "query_exemplars", values, &result)
	for _, one := range result {
		for _, exemplar := range one.Exemplars {
			if _, err := strconv.ParseFloat(exemplar.Value, 64); err != nil || exemplar.Labels["trace_id"] == "" {
				t.Errorf("exemplar %v: want a number and a trace_id", exemplar)
			}
			count++
		}
	}
	return count
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// choices returns the values that a user can select for a variable.
func (v dashboardView) choices(t *testing.T, variable string) (values []string) {
	t.Helper()
	for _, defined := range v.dashboard.Templating.List {
		if defined.Name != variable {
			continue
		}
		match := labelValues.FindStringSubmatch(v.substitute(t, defined.Definition))
		if match == nil {
			t.Fatalf("the variable %s is %q, want label_values(…)", variable, defined.Definition)
		}
		v.prometheus.get(t, "label/"+match[2]+"/values", url.Values{"match[]": {match[1]}}, &values)
	}
	return values
}

// milliseconds formats a duration for Prometheus, which accepts no fractions.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// series has the values of one time series, oldest first.
type series []float64

func (s series) last() float64 { return s[len(s)-1] }

// prometheusServer is a Prometheus in its own process.
type prometheusServer struct{ url string }

const scrapeInterval = time.Second

var listeningLine = regexp.MustCompile(`Listening on.* address=([\d.:]+)`)

// startPrometheus runs a Prometheus until the test ends, with the configuration of ../examples. It scrapes every second, from
// the given address, as the instance shop-1.
func startPrometheus(t *testing.T, scrapeAddr, features string) *prometheusServer {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(filepath.Join(prometheusDir, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := readFile(t, filepath.Join(prometheusDir, "prometheus.yml"))
	for from, to := range map[string]string{
		": 15s\n":         ": " + scrapeInterval.String() + "\n",
		"  - rules.yml\n": "  - " + rules + "\n",
		"\n      - targets: [\"127.0.0.1:9464\"]": fmt.Sprintf("\n      - targets: [%q]\n        labels: {instance: shop-1}", scrapeAddr),
	} {
		if !strings.Contains(config, from) {
			t.Fatalf("prometheus.yml does not contain %q", from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	cmd := exec.Command("prometheus", "--config.file="+tempFile(t, config), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--enable-feature="+features)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOMAXPROCS=2"}
	process, p := brokertest.StartProcess(t, cmd, nil), &prometheusServer{}
	brokertest.Eventually(t, "Prometheus listens", func() bool {
		match := listeningLine.FindStringSubmatch(process.Output.String())
		if match != nil {
			p.url = "http://" + match[1]
		}
		return match != nil
	})
	return p
}

// waitForScrape waits until the broker has been scraped. Prometheus begins five seconds after its start.
func (p *prometheusServer) waitForScrape(t *testing.T) {
	t.Helper()
	brokertest.Eventually(t, "Prometheus has scraped the broker", func() bool {
		ready := brokertest.Do(http.NewRequest(http.MethodGet, p.url+"/-/ready", nil))
		return ready.Status == http.StatusOK && len(p.querySeries(t, "query", url.Values{"query": {"up == 1"}})) == 1
	})
}

// get decodes the data of Prometheus' response into data. It fails the test on an error or a warning.
func (p *prometheusServer) get(t *testing.T, path string, values url.Values, data any) {
	t.Helper()
	result := struct {
		Status, Error string
		Warnings      []string
		Data          any
	}{Data: data}
	err := json.Unmarshal([]byte(brokertest.Get(t, p.url+"/api/v1/"+path+"?"+values.Encode()).Body), &result)
	if err != nil || result.Status != "success" || len(result.Warnings) > 0 {
		t.Fatalf("%s %s: got status %s, error %q, warnings %v (%v); want success", path, values, result.Status, result.Error, result.Warnings, err)
	}
}

// querySeries runs a query and returns the resulting series.
func (p *prometheusServer) querySeries(t *testing.T, path string, values url.Values) []series {
	t.Helper()
	var decoded struct {
		Result []struct {
			Value  [2]any   // of an instant query: time and value
			Values [][2]any // of a range query
		}
	}
	p.get(t, path, values, &decoded)
	var all []series
	for _, one := range decoded.Result {
		if one.Values == nil {
			one.Values = append(one.Values, one.Value)
		}
		var s series
		for _, pair := range one.Values {
			text, _ := pair[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatalf("%s: %v", values, err) // a native histogram, which no panel can show
			}
			s = append(s, value)
		}
		all = append(all, s)
	}
	return all
}

// wantNoFiringAlerts fails the test if an alert fires or cannot be evaluated.
func (p *prometheusServer) wantNoFiringAlerts(t *testing.T) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	p.get(t, "rules", nil, &rules)
	count := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			count++
			if rule.Health != "ok" || rule.State == "firing" {
				t.Errorf("alert %s: got health %s (%s) and state %s, want ok and not firing", rule.Name, rule.Health, rule.LastError, rule.State)
			}
		}
	}
	if count < 7 {
		t.Errorf("got %d alerts, want at least 7", count)
	}
}
