package e2e

import (
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

//go:embed testdata/page.js
var pageScript string

// pagePatience is for a browser that starts, and a hundred requests in turn, on a machine that is busy with others of both.
const pagePatience = time.Minute

// attempt is something that a page tries, and outcome what it came to know by that.
type attempt struct {
	Technique string `json:"technique"`
	URL       string `json:"url"`
}

type outcome struct {
	Read      string // of the answer
	Error     string // what the browser told the page's script
	Unsettled bool   // the browser did not say that it is done
}

// attacker is the server of a page that a user has opened. The page makes the attempts, in turn, and reports.
type attacker struct {
	address string
	rebind  func() // leads the page's host name elsewhere; nil if it stays
	plan    []byte
	reports chan []outcome
}

func startAttacker(t *testing.T, attempts []attempt, rebind func()) *attacker {
	t.Helper()
	a := &attacker{rebind: rebind, reports: make(chan []outcome, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><link rel="icon" href="data:,"><body><script>`+pageScript+`</script>`)
	})
	mux.HandleFunc("GET /plan", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(a.plan) })
	mux.HandleFunc("POST /rebind", func(http.ResponseWriter, *http.Request) { a.rebind() })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("to"), http.StatusTemporaryRedirect) // which keeps method and body
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var outcomes []outcome
		if err := json.NewDecoder(r.Body).Decode(&outcomes); err != nil {
			t.Errorf("the page's report: %v", err)
		}
		a.reports <- outcomes
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.SetKeepAlivesEnabled(false) // a connection that is kept would still lead here after the rebinding
	server.Start()
	t.Cleanup(server.Close)
	a.address = server.Listener.Addr().String()
	var err error
	a.plan, err = json.Marshal(map[string]any{
		"attacker": urlAt("attacker.test", a.address),
		"rebind":   rebind != nil,
		"attempts": attempts,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// visit has a browser open the page. check looks at what came of the attempts, in their order, before the browser is
// ended: requests of which it tells the page nothing may still be on their way.
func (a *attacker) visit(t *testing.T, page string, check func([]outcome)) {
	t.Helper()
	_, exited, end := startChromium(t, page)
	defer end()
	select {
	case outcomes := <-a.reports:
		for i, outcome := range outcomes {
			if outcome.Unsettled {
				t.Errorf("attempt %d: the browser did not say that it is done", i+1)
			}
		}
		check(outcomes)
	case <-exited:
		t.Fatal("Chromium ended before its page had reported")
	case <-time.After(pagePatience):
		t.Fatalf("no report of the page within %v", pagePatience)
	}
}

// visitForeign has a browser open a page of another origin than any that it attacks.
func visitForeign(t *testing.T, attempts []attempt, check func([]outcome)) {
	t.Helper()
	a := startAttacker(t, attempts, nil)
	a.visit(t, urlAt("attacker.test", a.address), check)
}
