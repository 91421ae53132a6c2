package admin

import (
	"fmt"
	"time"
)

// diagnoseCallers describes what is wrong with the files of callers: a caller may be refused, or have rights that it should not have
// any more.
func diagnoseCallers(problems []string) []Diagnosis {
	if len(problems) == 0 {
		return nil
	}
	detail := sentence(problems[0])
	if more := len(problems) - 1; more > 0 {
		detail += fmt.Sprintf(" More such problems: %d.", more)
	}
	return []Diagnosis{{
		State: BrokerDegraded, Cause: CauseConfiguration, Code: "caller-files",
		Summary: "Files of callers cannot be used.", Detail: detail,
		Advice: "Correct the files in BROKER_CALLERS_DIR. They are read again at once.",
	}}
}

// Caller is a program that may use the broker.
type Caller struct {
	Name string `json:"name"`
	// Accounts are those that it may use, the one for requests that name none first.
	Accounts []string `json:"accounts"`
	// Expires is when its access ends; absent if it does not.
	Expires time.Time `json:"expires,omitzero"`
	// Curl is curl with the options that the listener needs, and the caller's key if it has one, without a URL.
	Curl string `json:"curl,omitempty"`
}
