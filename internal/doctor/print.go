package doctor

import (
	"fmt"
	"io"
	"math"
	"strings"

	"etrusted-broker/internal/printable"
)

// Printer writes an examination for people: a line for each step as soon as it has ended, and below the line what to do.
type Printer struct {
	w       io.Writer
	advised map[string]bool
}

// NewPrinter returns one that writes to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{w, map[string]bool{}} }

const (
	// nameWidth holds the longest name, but for those of accounts.
	nameWidth = 20
	// below is where what belongs to a line begins.
	below = "      "
)

var marks = map[Status]string{OK: "✓", Failed: "✗", Skipped: "–"}

// Step writes one. The same advice is given once.
func (p *Printer) Step(s Step) {
	p.line("%s %-*s %7s  %s", marks[s.Status], nameWidth, s.Title(), p.took(s), s.Text)
	for _, warning := range s.Warnings {
		p.line("%s! %s", below, warning)
	}
	if s.Advice != "" && !p.advised[s.Advice] {
		p.advised[s.Advice] = true
		p.line("%sWhat to do: %s", below, s.Advice)
	}
}

// Verdict writes the last line.
func (p *Printer) Verdict(r Report) {
	p.line("Verdict: %s.", r.Verdict)
}

func (p *Printer) took(s Step) string {
	switch {
	case s.Status == Skipped:
		return ""
	case s.Seconds < 1:
		return fmt.Sprintf("%.0f ms", 1000*s.Seconds)
	default:
		return fmt.Sprintf("%.1f s", s.Seconds)
	}
}

// line writes one. Where it cannot be written, there is nobody to tell. What peers say is bounded where it is cleaned.
func (p *Printer) line(format string, args ...any) {
	_, _ = fmt.Fprintln(p.w, printable.Escape(strings.TrimRight(fmt.Sprintf(format, args...), " "), math.MaxInt))
}
