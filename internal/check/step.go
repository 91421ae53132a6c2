package check

import (
	"context"
	"time"
)

// Status is how a step ended: a closed set, which scripts read.
type Status string

// The statuses of a step.
const (
	StatusOK      Status = "ok"
	StatusFailed  Status = "failed"
	StatusSkipped Status = "skipped" // a step before it failed, or there is nothing to test
)

// Cause is the cause of a failed step: a closed set, which scripts read. It is empty without a failure.
type Cause string

// The causes of a failed step.
const (
	CauseConfiguration Cause = "configuration" // variables and files
	CauseCredentials   Cause = "credentials"   // Client ID and Client Secret
	CauseMachine       Cause = "machine"       // clock, CA certificates, ports
	CauseNetwork       Cause = "network"       // the connection from this machine to the server
	CauseLoginServer   Cause = "login_server"
	CauseAPI           Cause = "api"
	CauseRights        Cause = "rights" // those granted to the client
)

// Step is the result of one step. Its texts contain no secret. Only Advice may have several lines.
type Step struct {
	Name    string  `json:"name"`
	Account string  `json:"account,omitempty"` // for the steps that run once per account
	Target  string  `json:"target"`            // HOST:PORT, a URL, or an address
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`             // the result; after a failure, the likely cause first
	Advice  string  `json:"advice,omitempty"` // what to do; only after a failure
	Cause   Cause   `json:"cause,omitempty"`  // only after a failure
	Code    string  `json:"code,omitempty"`   // of the problem in docs/troubleshooting.md, if the broker has the same one
	// Warnings list what works but should be fixed.
	Warnings []string `json:"warnings,omitempty"`
}

// Passed returns the result of a step that has passed, possibly with warnings.
func Passed(text string, warnings ...string) Step { return Step{Text: text, Warnings: warnings} }

// Failed returns the result of a step that has failed.
func Failed(cause Cause, text, advice string) Step {
	return Step{Cause: cause, Text: text, Advice: advice}
}

// runProbe runs a step with the timeout.
func (c *checker) runProbe(ctx context.Context, probe Probe) {
	step := Step{Name: probe.Name, Target: probe.Target}
	if probe.Run == nil {
		c.skipStep(ctx, step, probe.Skipped)
		return
	}
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	c.finishStep(ctx, step, began, probe.Run(limited))
}

// finishStep records a step that has run, unless the check was interrupted meanwhile.
func (c *checker) finishStep(ctx context.Context, step Step, began time.Time, result Step) {
	if ctx.Err() != nil {
		return
	}
	result.Name, result.Account, result.Target = step.Name, step.Account, step.Target
	result.Seconds, result.Status = time.Since(began).Seconds(), StatusOK
	if result.Cause != "" {
		result.Status = StatusFailed
	}
	c.record(result)
}

// skipStep records a step that is not run.
func (c *checker) skipStep(ctx context.Context, step Step, reason string) {
	if ctx.Err() == nil {
		step.Status, step.Text = StatusSkipped, "skipped: "+reason
		c.record(step)
	}
}

func (c *checker) record(step Step) {
	c.report.Steps = append(c.report.Steps, step)
	c.OnStep(step)
}
