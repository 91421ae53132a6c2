package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDashboard asks a real Prometheus, which scrapes a real broker, every question of the dashboard: each must be
// understood, and answered. The alerts of ../examples look on, and are quiet.
//
// Prometheus takes histograms in classic buckets, or, if so told, as native ones, and then there are no others: the
// dashboard must show either.
func TestDashboard(t *testing.T) {
	t.Parallel()
	needTool(t, "prometheus")
	w := newWorld(t, time.Minute)
	accounts := t.TempDir()
	writeAccount(t, accounts, "shop-at", clientID, w.login.currentSecret())
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret(), "ETRUSTED_ACCOUNTS_DIR="+accounts)
	b.wait()
	fetched := time.Now()
	board := readDashboard(t)
	target := strings.TrimPrefix(b.admin, "http://")
	kinds := map[string]*prometheus{
		"classic histograms": startPrometheus(t, []scrapeTarget{{address: target, instance: "shop-1"}}, "exemplar-storage"),
		"native histograms":  startPrometheus(t, []scrapeTarget{{address: target, instance: "shop-1"}}, "exemplar-storage,native-histograms"),
	}
	load := b.startLoad(t)
	b.everyKindOfRequest(t)
	for name, p := range kinds {
		p.await(t, 1)
		eventually(t, patience, "Prometheus has seen each counter before it rises, "+name, func() bool {
			return len(p.series(t, "query", url.Values{"query": {`count_over_time(etrusted_broker_replays_total{account="default",outcome="success"}[1m]) > 1`}})) > 0
		})
	}
	// A token that is younger than ten seconds is not dropped.
	eventually(t, patience, "the token is old enough", func() bool { return time.Since(fetched) > 10500*time.Millisecond })
	for _, token := range w.api.tokens() {
		w.login.revoke(t, w.authority.client(t), token)
	}
	for range 3 {
		b.everyKindOfRequest(t)
		time.Sleep(time.Second)
	}
	for name, p := range kinds {
		t.Run(name, func(t *testing.T) {
			view := view{dashboard: board, prometheus: p, from: time.Now().Add(-12 * time.Second), to: time.Now(), step: time.Second, scrapes: time.Second}
			for _, panel := range board.Panels {
				for _, target := range panel.Targets {
					wantData(t, view, panel, target)
				}
			}
			for variable, want := range map[string]string{"instance": "[shop-1]", "account": "[default shop-at]"} {
				if got := fmt.Sprint(view.choices(t, variable)); got != want {
					t.Errorf("the variable %s may be %s, want %s", variable, got, want)
				}
			}
			for _, annotation := range board.Annotations.List {
				if annotation.Expr != "" {
					p.get(t, "query", url.Values{"query": {view.substitute(t, annotation.Expr)}})
				}
			}
			for title, want := range map[string]string{"Accounts without a token": "0", "Brokers": "1", "Open to other machines": "0"} {
				panel := board.panel(t, title)
				if got := view.evaluate(t, panel.Targets[0]); len(got) != 1 || fmt.Sprint(got[0].last()) != want {
					t.Errorf("%s: %v, want %s", title, got, want)
				}
			}
			p.wantQuietAlerts(t)
		})
	}
	load.stop()
	if name := "How long requests take"; strings.Contains(b.openMetrics(t), "trace_id") {
		p := kinds["classic histograms"]
		view := view{dashboard: board, prometheus: p, from: fetched, to: time.Now(), step: time.Second, scrapes: time.Second}
		if len(view.exemplars(t, board.panel(t, name).Targets[0])) == 0 {
			t.Errorf("%s: the broker has exemplars, and the panel has none", name)
		}
	}
}

// wantData fails the test if a query of the dashboard is answered with nothing, or with nothing but NaN.
func wantData(t *testing.T, view view, panel panel, target target) {
	t.Helper()
	what := fmt.Sprintf("%s, query %s", panel.Title, target.RefID)
	if !target.Range && !target.Instant {
		t.Errorf("%s is neither for a range nor for an instant", what)
	}
	answer := view.evaluate(t, target)
	for _, series := range answer {
		for _, point := range series.points {
			if !math.IsNaN(point.value) {
				return
			}
		}
	}
	t.Errorf("%s: no data (%d series): %s", what, len(answer), view.substitute(t, target.Expr))
}

func (b *broker) openMetrics(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dashboard is as much of Grafana's model as is needed to ask its questions and to draw it.
type dashboard struct {
	Title      string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Label, Type, Definition string }
	}
	Annotations struct {
		List []struct{ Expr string }
	}
}

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []target
	FieldConfig struct {
		Defaults  field
		Overrides []override
	}
	Transformations []transformation
}

type target struct {
	RefID, Expr, LegendFormat, Format string
	Range, Instant, Exemplar          bool
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", "grafana", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 12 {
		t.Fatalf("the dashboard has %d panels", len(board.Panels))
	}
	return board
}

func (d dashboard) panel(t *testing.T, title string) panel {
	t.Helper()
	for _, panel := range d.Panels {
		if panel.Title == title {
			return panel
		}
	}
	t.Fatalf("the dashboard has no panel %q", title)
	return panel{}
}

// view is a dashboard over a time, with all brokers and all accounts chosen.
type view struct {
	dashboard  dashboard
	prometheus *prometheus
	from, to   time.Time
	step       time.Duration // between two points of a graph
	scrapes    time.Duration // between two scrapes
}

// substitute does what Grafana does to an expression: rate's window is four scrapes at the least.
func (v view) substitute(t *testing.T, expr string) string {
	t.Helper()
	expr = strings.NewReplacer(
		"$__rate_interval", milliseconds(max(v.step+v.scrapes, 4*v.scrapes)),
		"$__range", milliseconds(v.to.Sub(v.from)),
		`"$instance"`, `".*"`, `"$account"`, `".*"`,
	).Replace(expr)
	if strings.Contains(expr, "$") {
		t.Fatalf("an unknown variable in %s", expr)
	}
	return expr
}

// evaluate asks for what a panel shows.
func (v view) evaluate(t *testing.T, target target) []series {
	t.Helper()
	values := url.Values{"query": {v.substitute(t, target.Expr)}}
	if target.Instant {
		values.Set("time", unix(v.to))
		return v.prometheus.series(t, "query", values)
	}
	values.Set("start", unix(v.from))
	values.Set("end", unix(v.to))
	values.Set("step", milliseconds(v.step))
	return v.prometheus.series(t, "query_range", values)
}

// exemplars returns when there was one, and its value.
func (v view) exemplars(t *testing.T, target target) []point {
	t.Helper()
	var answer []struct {
		Exemplars []struct {
			Labels    map[string]string
			Value     string
			Timestamp float64
		}
	}
	v.prometheus.decode(t, "query_exemplars", url.Values{"query": {v.substitute(t, target.Expr)}, "start": {unix(v.from)}, "end": {unix(v.to)}}, &answer)
	var points []point
	for _, series := range answer {
		for _, exemplar := range series.Exemplars {
			value, err := strconv.ParseFloat(exemplar.Value, 64)
			if err != nil || exemplar.Labels["trace_id"] == "" {
				t.Errorf("an exemplar %v", exemplar)
			}
			points = append(points, point{exemplar.Timestamp, value})
		}
	}
	return points
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// choices are what a variable may be set to.
func (v view) choices(t *testing.T, variable string) (values []string) {
	t.Helper()
	for _, one := range v.dashboard.Templating.List {
		if one.Name != variable {
			continue
		}
		match := labelValues.FindStringSubmatch(v.substitute(t, one.Definition))
		if match == nil {
			t.Fatalf("the variable %s is %s", variable, one.Definition)
		}
		v.prometheus.decode(t, "label/"+match[2]+"/values", url.Values{"match[]": {match[1]}}, &values)
	}
	return values
}

// milliseconds is a duration as Prometheus writes it: it knows no fractions.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// series is one line of a graph, or one row of a table.
type series struct {
	labels map[string]string
	points []point
}

type point struct{ time, value float64 }

func (s series) last() float64 { return s.points[len(s.points)-1].value }

// prometheus is a Prometheus in a process of its own.
type prometheus struct {
	url    string
	client *http.Client
}

type scrapeTarget struct{ address, instance string }

var listeningOn = regexp.MustCompile(`Listening on.* address=([\d.:]+)`)

// startPrometheus runs one, as ../examples configure it but once a second, until the test's end.
func startPrometheus(t *testing.T, targets []scrapeTarget, features string) *prometheus {
	t.Helper()
	folder := t.TempDir()
	example, err := os.ReadFile(filepath.Join(prometheusExample, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(filepath.Join(prometheusExample, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	for _, target := range targets {
		fmt.Fprintf(&list, "\n      - targets: [%q]\n        labels: {instance: %q}", target.address, target.instance)
	}
	config := string(example)
	for from, to := range map[string]string{
		": 15s\n":         ": 1s\n",
		"  - rules.yml\n": "  - " + rules + "\n",
		"\n      - targets: [\"127.0.0.1:9464\"]": list.String(),
	} {
		if !strings.Contains(config, from) {
			t.Fatalf("prometheus.yml has no %q", from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	output := &syncBuffer{}
	command := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address=127.0.0.1:0", "--enable-feature="+features)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "GOMAXPROCS=2"}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-afterPatience():
			_ = command.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("Prometheus wrote:\n%s", output)
		}
	})
	p := &prometheus{client: &http.Client{Transport: transport, Timeout: patience}}
	eventually(t, patience, "Prometheus listens", func() bool {
		match := listeningOn.FindStringSubmatch(output.String())
		if match != nil {
			p.url = "http://" + match[1]
		}
		return match != nil
	})
	return p
}

// await blocks until so many brokers have been scraped: a Prometheus begins with that five seconds after its start.
func (p *prometheus) await(t *testing.T, brokers int) {
	t.Helper()
	eventually(t, patience, "Prometheus has scraped every broker", func() bool {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.url+"/-/ready", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := p.client.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK && len(p.series(t, "query", url.Values{"query": {"up == 1"}})) == brokers
	})
}

// get asks the API, and fails the test if it does not understand, or has a warning.
func (p *prometheus) get(t *testing.T, path string, values url.Values) json.RawMessage {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/"+path+"?"+values.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status, Error string
		Warnings      []string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		t.Fatalf("%s %s: %s %v", path, values, answer.Error, answer.Warnings)
	}
	return answer.Data
}

func (p *prometheus) decode(t *testing.T, path string, values url.Values, into any) {
	t.Helper()
	if err := json.Unmarshal(p.get(t, path, values), into); err != nil {
		t.Fatalf("%s %s: %v", path, values, err)
	}
}

// series returns the answer to a query.
func (p *prometheus) series(t *testing.T, path string, values url.Values) []series {
	t.Helper()
	var answer struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any   // of an instant
			Values [][2]any // of a range
		}
	}
	p.decode(t, path, values, &answer)
	var all []series
	for _, one := range answer.Result {
		if one.Values == nil {
			one.Values = append(one.Values, one.Value)
		}
		s := series{labels: one.Metric}
		for _, pair := range one.Values {
			at, _ := pair[0].(float64)
			text, _ := pair[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatalf("%s: %v", values, err) // a native histogram, which no panel can show
			}
			s.points = append(s.points, point{at, value})
		}
		all = append(all, s)
	}
	return all
}

// wantQuietAlerts fails the test if an alert fires, or cannot be evaluated.
func (p *prometheus) wantQuietAlerts(t *testing.T) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	p.decode(t, "rules", nil, &rules)
	seen := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			seen++
			if rule.Health != "ok" || rule.State == "firing" {
				t.Errorf("%s: %s %s, %s", rule.Name, rule.Health, rule.LastError, rule.State)
			}
		}
	}
	if seen < 7 {
		t.Errorf("%d alerts", seen)
	}
}
