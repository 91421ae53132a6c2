package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/printable"
)

// checkPrinter writes a check as text: one line per step, as soon as it has ended, and what to do below it.
type checkPrinter struct {
	w       io.Writer
	advised map[string]bool
}

var statusMarks = map[check.Status]string{check.StatusOK: "✓", check.StatusFailed: "✗", check.StatusSkipped: "–"}

// step writes a step. It repeats no advice.
func (p checkPrinter) step(s check.Step) {
	duration := fmt.Sprintf("%.1f s", s.Seconds)
	switch {
	case s.Status == check.StatusSkipped:
		duration = ""
	case s.Seconds < 1:
		duration = fmt.Sprintf("%.0f ms", 1000*s.Seconds)
	}
	text := s.Text
	if s.Code != "" {
		text += " [" + s.Code + "]"
	}
	p.line("%s %-20s %7s  %s", statusMarks[s.Status], s.Title(), duration, text) // the longest name has 19 characters
	for _, warning := range s.Warnings {
		p.line("      ! %s", warning)
	}
	if s.Advice == "" || p.advised[s.Advice] {
		return
	}
	p.advised[s.Advice] = true
	if !strings.Contains(s.Advice, "\n") {
		p.line("      What to do: %s", s.Advice)
		return
	}
	p.line("      What to do:")
	for line := range strings.Lines(s.Advice) {
		p.line("        %s", strings.TrimSpace(line))
	}
}

// summary writes the last lines.
func (p checkPrinter) summary(r check.Report) {
	p.line("%s", r.Summary)
	if r.Curl != "" {
		p.line("With the broker running, try: %s", r.Curl)
	}
}

// line writes a line. It ignores errors, which could be reported only on the same terminal. The length of texts from peers
// is bounded by package check.
func (p checkPrinter) line(format string, args ...any) {
	_, _ = fmt.Fprintln(p.w, printable.Escape(strings.TrimRight(fmt.Sprintf(format, args...), " "), math.MaxInt))
}
