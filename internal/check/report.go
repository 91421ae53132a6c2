package check

import (
	"slices"
	"strings"
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

// summarize completes the report.
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
