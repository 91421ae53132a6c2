package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/check"
	"etrusted-broker/internal/fakeetrusted"
)

func TestCheckPrinter(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	p := checkPrinter{&text, map[string]bool{}}
	p.step(check.Step{Name: "files", Status: check.StatusOK, Seconds: 0.0124, Text: "all readable", Warnings: []string{"one is open"}})
	p.step(check.Step{Name: "login server: DNS", Status: check.StatusFailed, Seconds: 9.96, Text: "not found", Advice: "Look.", Cause: check.CauseNetwork})
	p.step(check.Step{Name: "token", Account: "shop-de", Status: check.StatusFailed, Text: "none", Advice: "Look.", Cause: check.CauseNetwork})
	p.step(check.Step{Name: "token", Account: "default", Status: check.StatusFailed, Text: "none\x1b", Advice: "Check:\n1. this\x1b\n2. that"})
	p.step(check.Step{Name: "token", Account: "default", Status: check.StatusSkipped, Text: "skipped"})
	p.summary(check.Report{Summary: "Problem: you."})
	want := `✓ files                  12 ms  all readable
      ! one is open
✗ login server: DNS     10.0 s  not found
      What to do: Look.
✗ token of shop-de        0 ms  none
✗ token                   0 ms  none%1B
      What to do:
        Check:
        1. this%1B
        2. that
– token                         skipped
Problem: you.
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
}

// The code leads to the same section of the guide as those in the log and on the status page.
func TestCheckPrintsTheCode(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	for environ, want := range map[string][2]string{
		"ETRUSTED_CLIENT_SECRET=wrong":                      {"✗ token ", " [credentials-rejected]\n"},
		"ETRUSTED_TOKEN_URL=http://127.0.0.1:1/oauth/token": {"✗ login server: TCP ", " [connection-refused]\n"},
	} {
		_, stdout, _ := ask([]string{"check"}, brokertest.Environ(url, environ)...)
		found := false
		for line := range strings.Lines(stdout) {
			found = found || strings.HasPrefix(line, want[0]) && strings.HasSuffix(line, want[1])
		}
		if !found {
			t.Errorf("%s: got\n%swant a line with %q", environ, stdout, want)
		}
	}
}
