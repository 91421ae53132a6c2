package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/check"
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
