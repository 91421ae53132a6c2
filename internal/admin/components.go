package admin

import (
	"fmt"
	"time"

	"etrusted-broker/tokensource"
)

// Components has what a request depends on, in the order in which problems spread.
type Components struct {
	LoginServer Component `json:"login_server"`
	Token       Component `json:"token"`
	API         Component `json:"api"`
}

// Component is the state of something that requests depend on.
type Component struct {
	State   ComponentState `json:"state"`
	Summary string         `json:"summary"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	// LatencySeconds is how long the last token requests took (the slowest account's), or the average of the API's responses in
	// the last five minutes; 0 if there were none, and for the token.
	LatencySeconds float64 `json:"latency_seconds"`
}

// ComponentState is the state of a component: a closed set.
type ComponentState string

// The states of a component.
const (
	ComponentOK      ComponentState = "ok"
	ComponentWarning ComponentState = "warning" // it works in part, or only for now
	ComponentFailing ComponentState = "failing"
	ComponentUnknown ComponentState = "unknown" // it was not needed yet, or not recently
)

// componentSeverity orders the states.
var componentSeverity = map[ComponentState]int{ComponentUnknown: 0, ComponentOK: 1, ComponentWarning: 2, ComponentFailing: 3}

// components describes what requests depend on.
func (h *Handler) components(accounts []Account, recent traffic, now time.Time) Components {
	withSince := func(name string, c Component) Component {
		c.Since = h.history.since(stateKey{component: name}, string(c.State), now)
		return c
	}
	login := worstComponent(accounts, loginServerComponent)
	for _, account := range accounts {
		login.LatencySeconds = max(login.LatencySeconds, account.LastDurationSeconds)
	}
	token := worstComponent(accounts, tokenComponent)
	return Components{withSince("login server", login), withSince("token", token), withSince("api", recent.apiComponent())}
}

// worstComponent returns the component of the account for which it is worst. If it does not fail for all, that is a warning.
func worstComponent(accounts []Account, componentOf func(Account) Component) Component {
	worst, affected := Component{State: ComponentUnknown, Summary: "No account is configured."}, 0
	for _, account := range accounts {
		switch one := componentOf(account); {
		case affected == 0, componentSeverity[one.State] > componentSeverity[worst.State]:
			worst, affected = one, 1
		case one == worst:
			affected++
		}
	}
	if affected < len(accounts) && componentSeverity[worst.State] >= componentSeverity[ComponentWarning] {
		worst.State = ComponentWarning
		worst.Summary += fmt.Sprintf(" This affects %d of %d accounts.", affected, len(accounts))
	}
	return worst
}

func loginServerComponent(account Account) Component {
	switch {
	case account.Code == tokensource.CodeCredentialsUnreadable:
		return Component{State: ComponentUnknown, Summary: "It was not asked: the credentials cannot be read."}
	case account.State == AccountBadCredentials:
		return Component{State: ComponentFailing, Summary: "It rejects the credentials."}
	case account.LastError != nil:
		return Component{State: ComponentFailing, Summary: "It issues no token."}
	case account.LastSuccess.IsZero():
		return Component{State: ComponentUnknown, Summary: "It has not answered yet."}
	default:
		return Component{State: ComponentOK, Summary: "It issues tokens."}
	}
}

func tokenComponent(account Account) Component {
	switch {
	case account.State == AccountStarting:
		return Component{State: ComponentUnknown, Summary: "It is being fetched."}
	case !account.TokenValid:
		return Component{State: ComponentFailing, Summary: "No token."}
	case account.LastError != nil:
		return Component{State: ComponentWarning, Summary: "It is valid, but cannot be refreshed."}
	default:
		return Component{State: ComponentOK, Summary: "It is valid."}
	}
}
