package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// sendAll sends requests, METHOD and target each, and returns the statuses.
func sendAll(t *testing.T, base string, requests ...string) (statuses []int) {
	t.Helper()
	for _, one := range requests {
		method, target, _ := strings.Cut(one, " ")
		got := brokertest.Do(http.NewRequest(method, base+target, strings.NewReader("{}")))
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		statuses = append(statuses, got.Status)
	}
	return statuses
}

// allowLine returns what the command allow prints.
func allowLine(t *testing.T, b *brokertest.Broker) string {
	t.Helper()
	b.WaitRecorded()
	code, stdout, stderr := ask([]string{"allow"}, adminEnv(b.Admin))
	if code != exitOK || stderr != "" || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("got exit code %d, %q and %q, want a line", code, stdout, stderr)
	}
	return strings.TrimSuffix(stdout, "\n")
}

// From an open broker, the printed line leads to one that allows what was used and nothing else.
func TestAllowListWritesItself(t *testing.T) {
	t.Parallel()
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	open := startBroker(t, nil, brokertest.Environ(eTrusted))
	open.WaitReady()
	if code, stdout, stderr := ask([]string{"allow"}, adminEnv(open.Admin)); code != exitFailure || stdout != "" || !strings.Contains(stderr, "nothing was used") {
		t.Errorf("without requests: got exit code %d, %q and %q, want %d and no output", code, stdout, stderr, exitFailure)
	}
	review := regexp.MustCompile(`rev-[0-9a-f-]+`).FindString(brokertest.Get(t, open.URL+"/reviews?count=1").Body)
	requests := []string{
		"GET /channels", "GET /channels/", "GET /reviews?email=CANARY%40example.com", "GET /reviews/" + review, "POST /reviews/" + review + "/vetos",
	}
	before := sendAll(t, open.URL, requests...)
	sendAll(t, open.URL, "GET /no/such/path", "POST /oauth/token", "GET /x/../y")
	line := allowLine(t, open)
	if want := "BROKER_ALLOW=GET /channels, GET /channels/{$}, GET /reviews, GET /reviews/{id}, POST /reviews/{id}/vetos"; line != want {
		t.Errorf("got %q, want %q", line, want)
	}
	status := brokertest.Get(t, open.Admin+"/status.json").Body
	if strings.Contains(status, "CANARY") || !strings.Contains(status, `"path": "/reviews/{id}/vetos"`) {
		t.Errorf("got %s, want the operations without the query", status)
	}

	enforced := startBroker(t, nil, brokertest.Environ(eTrusted, line))
	enforced.WaitReady()
	if got := sendAll(t, enforced.URL, requests...); !slices.Equal(got, before) {
		t.Errorf("got the statuses %d, want those without the list: %d", got, before)
	}
	if got := sendAll(t, enforced.URL, "DELETE /reviews/"+review, "GET /reviews/"+review+"/vetos", "GET /event-types"); !slices.Equal(got, []int{403, 403, 403}) {
		t.Errorf("got the statuses %d for what was not used, want 403", got)
	}
	if got := allowLine(t, enforced); got != line {
		t.Errorf("got %q from the broker that enforces the list, want the list: %q", got, line)
	}
}

// What the API does not have is not in the list, nor is what it never answered.
func TestCountsWhatTheAPIHas(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, server), "BROKER_REPLAY_401=false"))
	b.WaitReady()
	for status, path := range map[int]string{
		200: "/ok", 204: "/none", 302: "/moved", 400: "/invalid", 401: "/unauthorized", 403: "/forbidden", 429: "/slow", 500: "/error",
		404: "/missing", 405: "/method",
	} {
		server.SetAPIFault(fakeetrusted.Status(status, nil))
		if got := sendAll(t, b.URL, "GET "+path); got[0] != status {
			t.Errorf("got status %d, want %d", got[0], status)
		}
	}
	server.SetAPIFault(fakeetrusted.Truncate(0))
	if got := sendAll(t, b.URL, "POST /broken"); got[0] != http.StatusBadGateway {
		t.Errorf("got status %d, want 502", got[0])
	}
	server.SetAPIFault(fakeetrusted.Hang())
	ctx, disconnect := context.WithCancel(t.Context())
	before := server.APIRequestCount()
	go func() { _ = brokertest.Do(http.NewRequestWithContext(ctx, http.MethodGet, b.URL+"/abandoned", nil)) }()
	brokertest.Eventually(t, "the API has the request", func() bool { return server.APIRequestCount() > before })
	disconnect()
	brokertest.Eventually(t, "the request has ended", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/metrics").Body, `code="499"`)
	})
	const want = "BROKER_ALLOW=GET /error, GET /forbidden, GET /invalid, GET /moved, GET /none, GET /ok, GET /slow, GET /unauthorized"
	if line := allowLine(t, b); line != want {
		t.Errorf("got %q, want %q", line, want)
	}
}

// With BROKER_ALLOW_MODE=warn, the rules refuse nothing: the log, the metric and the status page show what they would.
func TestAllowModeWarnForwardsLogsAndCounts(t *testing.T) {
	t.Parallel()
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, brokertest.Environ(eTrusted, "BROKER_ALLOW=GET /channels", "BROKER_ALLOW_MODE=warn"))
	b.WaitReady()
	if len(b.Logs.Lines("BROKER_ALLOW_MODE=warn: requests that the allow list would refuse are forwarded, logged and counted")) != 1 {
		t.Errorf("got no line at startup, want one:\n%s", b.Logs)
	}
	got := sendAll(t, b.URL, "GET /channels", "GET /event-types", "GET /event-types", "GET /x/CANARY/", "GET /x/CANARY2/", "GET /channels/../x")
	if want := []int{200, 200, 200, 404, 404, 400}; !slices.Equal(got, want) {
		t.Errorf("got the statuses %d, want %d", got, want)
	}
	override, err := http.NewRequest("GET", b.URL+"/channels", nil)
	if err == nil {
		override.Header.Set("X-HTTP-Method-Override", "GET")
	}
	if got := brokertest.Do(override, err); got.Status != http.StatusOK {
		t.Errorf("with an override: got status %d, want 200", got.Status)
	}
	b.WaitRecorded()
	var logged []string
	for _, line := range b.Logs.Lines("BROKER_ALLOW_MODE=warn: the allow list would refuse this operation; logged once") {
		logged = append(logged, line["pattern"].(string)+" "+line["code"].(string))
	}
	if want := []string{"GET /event-types not-in-allow-list", "GET /x/{id}/{$} not-in-allow-list", "GET /channels method-override"}; !slices.Equal(logged, want) {
		t.Errorf("got the log lines %q, want %q", logged, want)
	}
	metrics := brokertest.Get(t, b.Admin+"/metrics").Body
	for _, want := range []string{"etrusted_broker_requests_denied_dry_run_total 5\n", "etrusted_broker_requests_denied_total{reason=\"rule\"} 0\n", "etrusted_broker_requests_denied_total{reason=\"path\"} 1\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("got no %q in the metrics, want it", want)
		}
	}
	status := strings.Join(strings.Fields(brokertest.Get(t, b.Admin+"/status.json").Body), "")
	for _, want := range []string{`"path":"/channels","count":2,`, `"allowed":true}`, `"path":"/event-types","count":2,`, `"allowed":false}`, `"mode":"warn"`, `"denied_dry_run":5`} {
		if !strings.Contains(status, want) {
			t.Errorf("got no %s in /status.json, want it", want)
		}
	}
	if line := allowLine(t, b); line != "BROKER_ALLOW=GET /channels, GET /event-types" {
		t.Errorf("got %q, want what is allowed and used, and what is missing", line)
	}
}

// Each caller gets its own list, and BROKER_ALLOW covers all of them. A removed caller is in none.
func TestAllowListPerCaller(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addFiles(t, dir, "shop", "key", "shop-key", "allow", "GET /channels")
	addFiles(t, dir, "erp", "key", "erp-key")
	b, _ := startWithCallers(t, dir, "BROKER_ALLOW=GET /channels, GET /reviews", "BROKER_ALLOW_MODE=warn")
	for _, request := range [][2]string{{"shop-key", "/channels"}, {"shop-key", "/reviews"}, {"erp-key", "/reviews"}, {"erp-key", "/event-types"}} {
		if got := getWithKey(t, b.URL+request[1], request[0]); got.Status != http.StatusOK {
			t.Errorf("%s: got status %d, want 200", request, got.Status)
		}
	}
	if got := getWithKey(t, b.URL+"/reviews", "unknown"); got.Status != http.StatusUnauthorized {
		t.Errorf("got status %d for an unknown caller, want 401", got.Status)
	}
	allow := func(caller string) string {
		_, stdout, _ := ask([]string{"allow", "-caller", caller}, adminEnv(b.Admin))
		return stdout
	}
	if line, shop, erp := allowLine(t, b), allow("shop"), allow("erp"); line != "BROKER_ALLOW=GET /channels, GET /event-types, GET /reviews" ||
		shop != "GET /channels\nGET /reviews\n" || erp != "GET /event-types\nGET /reviews\n" {
		t.Errorf("got %q, for shop %q, for erp %q, want what each has used", line, shop, erp)
	}
	var logged []string
	for _, line := range b.Logs.Lines("BROKER_ALLOW_MODE=warn: the allow list would refuse this operation; logged once") {
		logged = append(logged, line["caller"].(string)+" "+line["pattern"].(string))
	}
	if want := []string{"shop GET /reviews", "erp GET /event-types"}; !slices.Equal(logged, want) {
		t.Errorf("got the log lines %q, want %q", logged, want)
	}
	status := strings.Join(strings.Fields(brokertest.Get(t, b.Admin+"/status.json").Body), "")
	for _, want := range []string{`{"caller":"shop","method":"GET","path":"/reviews","count":1,`, `{"caller":"erp","method":"GET","path":"/reviews","count":1,`} {
		if !strings.Contains(status, want) {
			t.Errorf("got no %s in /status.json, want it", want)
		}
	}
	if refused, served := strings.Count(status, `"allowed":false`), strings.Count(status, `"allowed":true`); refused != 2 || served != 2 {
		t.Errorf("got %d operations that are allowed and %d that are not, want 2 and 2", served, refused)
	}

	if err := os.RemoveAll(filepath.Join(dir, "erp")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the removed caller is in no list", func() bool { return allow("erp") == "" })
	if line := allowLine(t, b); line != "BROKER_ALLOW=GET /channels, GET /reviews" {
		t.Errorf("got %q, want it without what only the removed caller has used", line)
	}
}

func TestAllowPrintsOnlyPatterns(t *testing.T) {
	t.Parallel()
	const foreign = "is in use by another program, or by a broker of another version"
	for _, test := range []struct {
		list, caller   string
		code           int
		stdout, stderr string
	}{
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a, POST /b/{id}/{id2}", "evicted": 0`, "", exitOK, "BROKER_ALLOW=GET /a, POST /b/{id}/{id2}\n", ""},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a", "evicted": 7`, "", exitOK, "BROKER_ALLOW=GET /a\n", "some may be missing: 7"},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a, GET /b, GET /c", "callers": [{"caller": "erp", "patterns": "GET /a, GET /b"}, {"caller": "shop", "patterns": "GET /c"}]`, "erp", exitOK, "GET /a\nGET /b\n", ""},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a"`, "erp", exitFailure, "", `the caller "erp" has used nothing since the broker started`},
		{`"mode": "enforce"`, "", exitFailure, "", "nothing was used since the broker started"},
		{``, "", exitFailure, "", foreign},
		{`"mode": "enforce", "line": "BROKER_ACCESS_KEY=GET /a"`, "", exitFailure, "", foreign},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a\nBROKER_UNSAFE_LISTEN=true"`, "", exitFailure, "", foreign},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a\u001b[2J"`, "", exitFailure, "", foreign},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a/{id}, GET /a/{x}"`, "", exitFailure, "", foreign},
		{`"mode": "enforce", "line": "BROKER_ALLOW=GET /a", "callers": [{"caller": "erp", "patterns": "GET /a` + "`x`" + `"}]`, "erp", exitFailure, "", foreign},
	} {
		document := `{"version": "1", "accounts": [], "allow_list": {` + test.list + `}}`
		listener := brokertest.Serve(t, fakeetrusted.Answer(200, "application/json", document))
		args := []string{"allow"}
		if test.caller != "" {
			args = append(args, "-caller", test.caller)
		}
		code, stdout, stderr := ask(args, adminEnv(listener))
		if code != test.code || stdout != test.stdout || !strings.Contains(stderr, test.stderr) || test.stderr == "" && stderr != "" {
			t.Errorf("%s: got exit code %d, %q and %q, want %d, %q and %q", test.list, code, stdout, stderr, test.code, test.stdout, test.stderr)
		}
	}
}

// A response field with the token is dropped, counted and logged once a minute, without its value.
func TestReportsDroppedTokenFields(t *testing.T) {
	t.Parallel()
	server := fakeetrusted.New(fakeetrusted.Options{})
	server.SetAPIFault(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNoContent)
	}))
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, server)))
	b.WaitReady()
	for range 3 {
		if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusNoContent || got.Header["X-Echo"] != nil {
			t.Errorf("got status %d and %v, want 204 without X-Echo", got.Status, got.Header)
		}
	}
	b.WaitRecorded()
	if metrics := brokertest.Get(t, b.Admin+"/metrics").Body; !strings.Contains(metrics, "etrusted_broker_response_fields_dropped_total 3\n") {
		t.Error("got another count of dropped fields, want 3")
	}
	const message = "the API's response repeated the access token in its header or trailer: the broker dropped the field. Check what is between the broker and the API"
	if lines := b.Logs.Lines(message); len(lines) != 1 {
		t.Errorf("got %d lines, want 1:\n%s", len(lines), b.Logs)
	}
	if strings.Contains(b.Logs.String(), server.Tokens()[0]) {
		t.Errorf("got the token in the log, want it nowhere:\n%s", b.Logs)
	}
}
