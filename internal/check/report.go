package check

import (
	"slices"
	"strings"
	"time"
)

// Report is the result of a check. Its JSON is a contract: see docs/check.md.
type Report struct {
	OK bool `json:"ok"` // no step failed, and the check was not interrupted
	// Summary names the causes, in one or two sentences.
	Summary string `json:"summary"`
	// Causes are the causes of the failed steps, in their order, each of them once.
	Causes      []Cause         `json:"causes"`
	Interrupted bool            `json:"interrupted"`
	Steps       []Step          `json:"steps"`
	Accounts    []AccountReport `json:"accounts"`
	// AppURL is the address for apps, and Curl a command that uses it; absent if the address is not known.
	AppURL string `json:"app_url,omitempty"`
	Curl   string `json:"curl,omitempty"`
}

// AccountReport is the result for one account. Audience, scopes and roles are sanitized claims of the token, whose signature
// is not verified.
type AccountReport struct {
	Account         string   `json:"account"`
	TokenOK         bool     `json:"token_ok"`
	LifetimeSeconds float64  `json:"lifetime_seconds"`
	Audience        []string `json:"audience"`
	Scopes          []string `json:"scopes"`
	Roles           []string `json:"roles"`
	// Channels is the number of channels that the account can see; absent if unknown.
	Channels *int `json:"channels,omitempty"`
}

var causeNames = map[Cause]string{
	CauseConfiguration: "configuration",
	CauseCredentials:   "credentials",
	CauseMachine:       "this machine",
	CauseNetwork:       "network",
	CauseLoginServer:   "login server",
	CauseAPI:           "API",
	CauseRights:        "the client's rights",
}

func (c *checker) summarize() {
	r := &c.report
	r.Interrupted, r.Summary = c.interrupted(), "All checks passed."
	var problems []string
	for _, step := range r.Steps {
		if len(step.Warnings) > 0 {
			r.Summary = "All checks passed, with warnings (!)."
		}
		if step.Status == StatusFailed && !slices.Contains(r.Causes, step.Cause) {
			r.Causes = append(r.Causes, step.Cause)
			problems = append(problems, causeNames[step.Cause]+" ("+step.Title()+")")
		}
	}
	switch r.OK = len(problems) == 0 && !r.Interrupted; {
	case r.OK && c.AppURL != "":
		r.AppURL, r.Curl = c.AppURL, c.Curl
		r.Summary += " Your app's address: " + r.AppURL
	case len(problems) > 0:
		r.Summary = "Problem: " + strings.Join(problems, "; ") + "."
	case r.Interrupted:
		r.Summary = ""
	}
	if r.Interrupted {
		r.Summary = strings.TrimSpace(r.Summary + " The check was interrupted before the end.")
	}
}

// Title is the step's name, followed by the account if it has a name.
func (s Step) Title() string {
	if s.Account == "" || s.Account == "default" {
		return s.Name
	}
	return s.Name + " of " + s.Account
}

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
func Passed(text string, warnings ...string) Step {
	return Step{Status: StatusOK, Text: text, Warnings: warnings}
}

// Failed returns the result of a step that has failed, with a code of docs/troubleshooting.md or docs/check.md.
func Failed(cause Cause, code, text, advice string) Step {
	return Step{Status: StatusFailed, Cause: cause, Code: code, Text: text, Advice: advice}
}

// Skipped returns the result of a step that is not run.
func Skipped(reason string) Step { return Step{Status: StatusSkipped, Text: "skipped: " + reason} }

// finishStep records the result of a step. Once the check is interrupted it records nothing more, except the first step, the
// configuration, which is always reported.
func (c *checker) finishStep(step Step, began time.Time, result Step) {
	if len(c.report.Steps) > 0 && c.interrupted() {
		return
	}
	result.Name, result.Account, result.Target = step.Name, step.Account, step.Target
	if result.Status != StatusSkipped {
		result.Seconds = time.Since(began).Seconds()
	}
	c.report.Steps = append(c.report.Steps, result)
	c.OnStep(result)
}
