package doctor

import (
	"context"
	"slices"
	"strings"
)

// Report is what an examination came to. Its JSON is a contract: see docs/check.md.
type Report struct {
	OK bool `json:"ok"` // no step has failed, and the examination came to its end
	// Verdict says in one sentence whose fault it is.
	Verdict string `json:"verdict"`
	// Faults are those who are to blame, in the order of the steps.
	Faults      []Fault         `json:"faults"`
	Interrupted bool            `json:"interrupted"`
	Steps       []Step          `json:"steps"`
	Accounts    []AccountReport `json:"accounts"`
}

// AccountReport is what was found out about one account. Audience, scopes and roles are the token's own word, which is
// not verified, and cleaned.
type AccountReport struct {
	Account         string   `json:"account"`
	TokenOK         bool     `json:"token_ok"`
	LifetimeSeconds float64  `json:"lifetime_seconds"`
	Audience        []string `json:"audience"`
	Scopes          []string `json:"scopes"`
	Roles           []string `json:"roles"`
	// Channels is how many the account sees; absent if that is not known.
	Channels *int `json:"channels,omitempty"`
}

var culprits = map[Fault]string{
	Configuration: "this configuration",
	Machine:       "this machine",
	Network:       "this machine's network",
	LoginServer:   "the login server",
	API:           "the API",
	Rights:        "the client's rights",
}

// concluded is the report with its verdict.
func (e *examination) concluded(ctx context.Context) Report {
	r := e.report
	r.Faults = []Fault{}
	var blamed []string
	warnings := 0
	for _, step := range r.Steps {
		warnings += len(step.Warnings)
		if step.Status == Failed && !slices.Contains(r.Faults, step.Fault) {
			r.Faults = append(r.Faults, step.Fault)
			blamed = append(blamed, culprits[step.Fault]+" ("+step.Title()+")")
		}
	}
	r.Interrupted = ctx.Err() != nil
	r.OK = len(blamed) == 0 && !r.Interrupted
	switch {
	case len(blamed) > 0:
		r.Verdict = "at fault: " + strings.Join(blamed, "; then ")
	case r.Interrupted:
	case warnings > 0:
		r.Verdict = "it works, and nobody is at fault; but see what is marked with !"
	default:
		r.Verdict = "all is well, and nobody is at fault"
	}
	if r.Interrupted {
		r.Verdict = strings.TrimPrefix(r.Verdict+"; the check was interrupted, so there may be more that it has not seen", "; ")
	}
	return r
}

// Title is the step's name, with its account if that has a name.
func (s Step) Title() string {
	if s.Account == "" || s.Account == "default" {
		return s.Name
	}
	return s.Name + " of " + s.Account
}
