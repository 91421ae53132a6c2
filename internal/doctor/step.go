package doctor

import (
	"context"
	"time"
)

// Status tells how a step ended: a closed set, which scripts read.
type Status string

// The ends that a step may have.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // since one that it needs has failed, or there was nothing to look at
)

// Fault is who is to blame for a failed step: a closed set, which scripts read. Empty is nobody.
type Fault string

// Who may be to blame.
const (
	Configuration Fault = "configuration" // variables, files, credentials
	Machine       Fault = "machine"       // clock, authorities, ports
	Network       Fault = "network"       // the way from this machine to the server
	LoginServer   Fault = "login_server"
	API           Fault = "api"
	Rights        Fault = "rights" // those that the client has been given
)

// Step is one that has ended. Its texts are one line each and hold no secret.
type Step struct {
	Name    string  `json:"name"`
	Account string  `json:"account,omitempty"` // for those that each account has
	Target  string  `json:"target"`            // what was looked at: HOST:PORT, a URL, an address
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`             // what was found
	Advice  string  `json:"advice,omitempty"` // what to do about it, in whole sentences; on failure alone
	Fault   Fault   `json:"fault,omitempty"`  // on failure alone
	// Warnings are of what works and yet should not stay so.
	Warnings []string `json:"warnings,omitempty"`
}

// finding is what a step comes to.
type finding struct {
	text     string
	fault    Fault // empty: all is well
	advice   string
	warnings []string
}

func fine(text string) finding { return finding{text: text} }

// step takes one, no longer than the time-out, and reports whether it found nothing wrong. Once ctx is done it takes none.
func (e *examination) step(ctx context.Context, step Step, look func(context.Context) finding) bool {
	if ctx.Err() != nil {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	began := time.Now()
	found := look(limited)
	return e.found(ctx, step, time.Since(began), found)
}

// found tells of a step that has been taken, unless it was broken off.
func (e *examination) found(ctx context.Context, step Step, took time.Duration, found finding) bool {
	if ctx.Err() != nil {
		return false
	}
	step.Seconds = took.Seconds()
	step.Status, step.Text, step.Warnings = OK, found.text, found.warnings
	if found.fault != "" {
		step.Status, step.Advice, step.Fault = Failed, found.advice, found.fault
	}
	e.told(step)
	return step.Status == OK
}

// skip tells of a step that is not taken.
func (e *examination) skip(ctx context.Context, step Step, why string) {
	if ctx.Err() == nil {
		step.Status, step.Text = Skipped, why
		e.told(step)
	}
}

func (e *examination) told(step Step) {
	e.report.Steps = append(e.report.Steps, step)
	e.Tell(step)
}
