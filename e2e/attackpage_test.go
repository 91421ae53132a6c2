package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

//go:embed testdata/page.js
var pageScript string

// browserTimeout limits the start of a browser and about a hundred requests in sequence, on a machine that runs other browsers.
const browserTimeout = time.Minute

// stepResult is what the page's script learned from a step.
type stepResult struct {
	Read     string // the part of the response that it could read
	Error    string // the error from the browser
	TimedOut bool   // the browser did not report that the request is finished
}

// attackPage serves a page that a user has opened. Its script runs a step for each attack in sequence and reports the results.
type attackPage struct {
	addr    string
	rebind  func() // changes the address of the page's host name; nil if that does not change
	plan    []byte
	results chan []stepResult
}

func startAttackPage(t *testing.T, attacks []pageAttack, rebind func()) *attackPage {
	t.Helper()
	a := &attackPage{rebind: rebind, results: make(chan []stepResult, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><body><script>`+pageScript+`</script>`)
	})
	mux.HandleFunc("GET /plan", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(a.plan) })
	mux.HandleFunc("POST /rebind", func(http.ResponseWriter, *http.Request) { a.rebind() })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("to"), http.StatusTemporaryRedirect) // keeps method and body
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var results []stepResult
		if err := json.NewDecoder(r.Body).Decode(&results); err != nil {
			t.Errorf("decoding the page's report: %v", err)
		}
		a.results <- results
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.SetKeepAlivesEnabled(false) // a reused connection would still lead here after the rebinding
	server.Start()
	t.Cleanup(server.Close)
	a.addr = server.Listener.Addr().String()
	steps := []pageStep{}
	for _, attack := range attacks {
		steps = append(steps, attack.step)
	}
	var err error
	a.plan, err = json.Marshal(map[string]any{
		"attacker": urlAt("attacker.test", a.addr),
		"rebind":   rebind != nil,
		"steps":    steps,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// visit opens the page in a browser and calls check with the results, in the order of the attacks. The browser is still running
// then, because requests whose end the page cannot see may still be in flight. flags are added to the browser's.
func (a *attackPage) visit(t *testing.T, page string, check func([]stepResult), flags ...string) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	browser := brokertest.StartProcess(t, chromiumCommand(ctx, t, append(flags, page)...), dbusErrors)
	defer func() {
		end()
		<-browser.Ended
	}()
	select {
	case results := <-a.results:
		for i, result := range results {
			if result.TimedOut {
				t.Errorf("step %d: the browser did not report that the request is finished", i+1)
			}
		}
		check(results)
	case <-browser.Ended:
		t.Fatal("Chromium exited before the page had reported")
	case <-time.After(browserTimeout):
		t.Fatalf("no report from the page within %v", browserTimeout)
	}
}

// visitPage opens a page at a host name that leads to the attacker's server, and to no server that it attacks.
func visitPage(t *testing.T, host string, attacks []pageAttack, check func([]stepResult), flags ...string) {
	t.Helper()
	a := startAttackPage(t, attacks, nil)
	a.visit(t, urlAt(host, a.addr), check, flags...)
}
