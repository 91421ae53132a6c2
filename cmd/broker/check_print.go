package check

import (
	"fmt"
	"io"
	"math"
	"strings"

	"etrusted-broker/internal/printable"
)

// Printer writes a check as text: one line per step, as soon as it has ended, and what to do below it.
type Printer struct {
	w       io.Writer
	advised map[string]bool
}

// NewPrinter returns a Printer that writes to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{w, map[string]bool{}} }

const (
	// nameWidth fits the longest name without an account.
	nameWidth = 20
	// indent is where what belongs to a line begins.
	indent = "      "
)

var marks = map[Status]string{StatusOK: "✓", StatusFailed: "✗", StatusSkipped: "–"}

// Step writes a step. It repeats no advice.
func (p *Printer) Step(s Step) {
	p.line("%s %-*s %7s  %s", marks[s.Status], nameWidth, s.Title(), p.duration(s), s.Text)
	for _, warning := range s.Warnings {
		p.line("%s! %s", indent, warning)
	}
	if s.Advice != "" && !p.advised[s.Advice] {
		p.advised[s.Advice] = true
		p.line("%sWhat to do: %s", indent, s.Advice)
	}
}

// Summary writes the last line.
func (p *Printer) Summary(r Report) {
	p.line("%s", r.Summary)
}

func (p *Printer) duration(s Step) string {
	switch {
	case s.Status == StatusSkipped:
		return ""
	case s.Seconds < 1:
		return fmt.Sprintf("%.0f ms", 1000*s.Seconds)
	default:
		return fmt.Sprintf("%.1f s", s.Seconds)
	}
}

// line writes a line. It ignores errors, which could be reported only on the same terminal. The length of texts from peers
// is bounded by redactor.
func (p *Printer) line(format string, args ...any) {
	_, _ = fmt.Fprintln(p.w, printable.Escape(strings.TrimRight(fmt.Sprintf(format, args...), " "), math.MaxInt))
}
