package check

import "time"

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
	Code    string  `json:"code,omitempty"`   // of the problem; only after a failure
	// Warnings list what works but should be fixed.
	Warnings []string `json:"warnings,omitempty"`
}

// Passed returns the result of a step that has passed, possibly with warnings. Name, Target, Status and Seconds are set when the
// step is recorded; likewise for Failed and Skipped.
func Passed(text string, warnings ...string) Step { return Step{Text: text, Warnings: warnings} }

// Failed returns the result of a step that has failed, with a code of docs/troubleshooting.md or docs/check.md.
func Failed(cause Cause, code, text, advice string) Step {
	return Step{Cause: cause, Code: code, Text: text, Advice: advice}
}

// Skipped returns the result of a step that is not run.
func Skipped(reason string) Step { return Step{Status: StatusSkipped, Text: "skipped: " + reason} }

// finishStep records the result of a step, unless the check was interrupted meanwhile. The first step has ended before the check.
func (c *checker) finishStep(step Step, began time.Time, result Step) {
	if len(c.report.Steps) > 0 && c.interrupted() {
		return
	}
	result.Name, result.Account, result.Target = step.Name, step.Account, step.Target
	if result.Status == "" {
		result.Status, result.Seconds = StatusOK, time.Since(began).Seconds()
	}
	if result.Cause != "" {
		result.Status = StatusFailed
	}
	c.report.Steps = append(c.report.Steps, result)
	c.OnStep(result)
}
