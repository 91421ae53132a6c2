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

// components describes what requests depend on.
func (h *Handler) components(accounts []Account, api apiHealth, now time.Time) Components {
	c := Components{loginServer(accounts), token(accounts), api.component()}
	c.LoginServer.Since = h.history.since("login server", string(c.LoginServer.State), now)
	c.Token.Since = h.history.since("token", string(c.Token.State), now)
	c.API.Since = h.history.since("api", string(c.API.State), now)
	return c
}

func loginServer(accounts []Account) Component {
	failing, rejected, asked, slowest := 0, 0, 0, 0.0
	for _, account := range accounts {
		slowest = max(slowest, account.LastDurationSeconds)
		if account.LastError != nil || !account.LastSuccess.IsZero() {
			asked++
		}
		switch {
		case account.LastError == nil:
		case account.LastError.Outcome == string(tokensource.OutcomeRejected):
			rejected++
		default:
			failing++
		}
	}
	switch {
	case asked == 0:
		return Component{State: ComponentUnknown, Summary: "It has not answered yet."}
	case failing > 0:
		return Component{State: partOf(failing, asked), Summary: "It issues no token" + ofAccounts(failing, asked) + ".", LatencySeconds: slowest}
	case rejected > 0:
		return Component{State: partOf(rejected, asked), Summary: "It rejects the credentials" + ofAccounts(rejected, asked) + ".", LatencySeconds: slowest}
	default:
		return Component{State: ComponentOK, Summary: "It issues tokens.", LatencySeconds: slowest}
	}
}

func token(accounts []Account) Component {
	missing, starting, aging := 0, 0, 0
	for _, account := range accounts {
		switch {
		case account.State == AccountStarting:
			starting++
		case !account.TokenValid:
			missing++
		case account.LastError != nil:
			aging++
		}
	}
	switch {
	case len(accounts) == 0:
		return Component{State: ComponentUnknown, Summary: "No account is configured."}
	case missing > 0:
		return Component{State: partOf(missing, len(accounts)), Summary: "There is none" + ofAccounts(missing, len(accounts)) + "."}
	case starting > 0:
		return Component{State: ComponentUnknown, Summary: "It is being fetched" + ofAccounts(starting, len(accounts)) + "."}
	case aging > 0:
		return Component{State: ComponentWarning, Summary: "It is valid, but cannot be refreshed" + ofAccounts(aging, len(accounts)) + "."}
	default:
		return Component{State: ComponentOK, Summary: "It is valid."}
	}
}

// partOf returns the state of a component that fails in part, or as a whole.
func partOf(part, all int) ComponentState {
	if part < all {
		return ComponentWarning
	}
	return ComponentFailing
}

// ofAccounts says how many accounts are affected; empty if there is only one.
func ofAccounts(part, all int) string {
	if all == 1 {
		return ""
	}
	return fmt.Sprintf(" for %d of %d accounts", part, all)
}
