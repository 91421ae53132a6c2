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
	CauseCredentials   Cause = "credentials"   // Client ID and Client Secret, or the files that contain them
	CauseMachine       Cause = "machine"       // clock, CA certificates, ports
	CauseNetwork       Cause = "network"       // the connection from this machine to the server
	CauseLoginServer   Cause = "login_server"
	CauseAPI           Cause = "api"
	CauseRights        Cause = "rights" // those granted to the client
)

// Step is the result of one step. Its texts have one line each and contain no secret.
type Step struct {
	Name    string  `json:"name"`
	Account string  `json:"account,omitempty"` // for the steps that run once per account
	Target  string  `json:"target"`            // HOST:PORT, a URL, or an address
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text"`             // the result
	Advice  string  `json:"advice,omitempty"` // what to do, in whole sentences; only after a failure
	Cause   Cause   `json:"cause,omitempty"`  // only after a failure
	// Warnings list what works but should be fixed.
	Warnings []string `json:"warnings,omitempty"`
}

// passed returns the result of a step that has passed, possibly with warnings.
func passed(text string, warnings ...string) Step { return Step{Text: text, Warnings: warnings} }

// failed returns the result of a step that has failed.
func failed(cause Cause, text, advice string) Step {
	return Step{Cause: cause, Text: text, Advice: advice}
}

// runStep runs a step with the timeout, and reports whether it passed. step says which one it is, and run returns the result. Once
// ctx is done it does nothing.
func (c *checker) runStep(ctx context.Context, step Step, run func(context.Context) Step) bool {
	if ctx.Err() != nil {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	result := run(limited)
	return c.finishStep(ctx, step, time.Since(began), result)
}

// finishStep records a step that has run, unless it was interrupted, and reports whether it passed.
func (c *checker) finishStep(ctx context.Context, step Step, duration time.Duration, result Step) bool {
	if ctx.Err() != nil {
		return false
	}
	result.Name, result.Account, result.Target, result.Seconds = step.Name, step.Account, step.Target, duration.Seconds()
	result.Status = StatusOK
	if result.Cause != "" {
		result.Status = StatusFailed
	}
	c.recordStep(result)
	return result.Status == StatusOK
}

// skipStep records a step that is not run.
func (c *checker) skipStep(ctx context.Context, step Step, reason string) {
	if ctx.Err() == nil {
		step.Status, step.Text = StatusSkipped, reason
		c.recordStep(step)
	}
}

func (c *checker) recordStep(step Step) {
	c.report.Steps = append(c.report.Steps, step)
	c.OnStep(step)
}
