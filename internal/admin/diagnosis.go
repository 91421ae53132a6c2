package admin

import (
	"fmt"

	"etrusted-broker/tokensource"
)

// Diagnosis is the whole in a few sentences: whether the broker works, and if not, whose fault it is and what to do.
type Diagnosis struct {
	State   BrokerState `json:"state"`
	Cause   Cause       `json:"at_fault"`
	Summary string      `json:"summary"`
	// Detail says more about it; absent if there is no more to say.
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice"`
}

// BrokerState is how the broker fares: a closed set.
type BrokerState string

// The states of the broker.
const (
	BrokerWorking  BrokerState = "working"
	BrokerStarting BrokerState = "starting" // for a token; the attempt at one has not failed yet
	BrokerDegraded BrokerState = "degraded" // requests are served, but not all of them, or not for long
	BrokerDown     BrokerState = "down"     // requests fail
	BrokerDraining BrokerState = "draining" // it is shutting down
)

// BrokerStates lists all of them.
var BrokerStates = [...]BrokerState{BrokerWorking, BrokerStarting, BrokerDegraded, BrokerDown, BrokerDraining}

func (o BrokerState) symbol() string {
	return map[BrokerState]string{
		BrokerWorking:  "#check",
		BrokerStarting: "#dots",
		BrokerDegraded: "#warning",
		BrokerDown:     "#cross",
		BrokerDraining: "#power",
	}[o]
}

func diagnose(status Status, api health) Diagnosis {
	worst := mostSevere(status)
	switch {
	case status.Draining:
		return Diagnosis{BrokerDraining, CauseNone, "The broker is shutting down.", "It takes no new requests and ends those that it has.", "Start it again if nobody else does."}
	case len(status.Accounts) == 0:
		return Diagnosis{
			BrokerDown, CauseConfiguration, "There is no account to work with.", "The broker has no credentials to fetch a token with.",
			"Put a folder NAME with client_id and client_secret into ETRUSTED_ACCOUNTS_DIR, or set ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET and start the broker again.",
		}
	case worst != nil:
		return diagnoseTokens(status, *worst, api)
	case !status.Ready:
		return Diagnosis{BrokerStarting, CauseNone, "The broker is fetching a token.", "Requests wait for it.", "Wait some seconds."}.withOthers(0, api)
	case api.failing():
		return diagnoseAPI(api)
	default:
		return Diagnosis{BrokerWorking, CauseNone, "Everything works.", "", "There is nothing to do."}
	}
}

// mostSevere returns the troubled account in the direst straits, the first of them if there are several; nil if none is. It is
// the default account, come what may, if that is why the broker is not ready.
func mostSevere(status Status) *Account {
	var worst *Account
	for i, account := range status.Accounts {
		switch {
		case !account.NeedsAttention:
		case account.Account == tokensource.DefaultAccount && !account.TokenValid:
			return &status.Accounts[i]
		case worst == nil || account.severity() > worst.severity():
			worst = &status.Accounts[i]
		}
	}
	return worst
}

// severity orders the troubled: without a token before those that have one, what does not heal by itself before what may;
// last those whose token is even refreshed.
func (a Account) severity() int {
	dire := 0
	if !a.TokenValid {
		dire += 2
	}
	switch a.State {
	case AccountRejected:
		dire++
	case AccountStale:
		dire--
	}
	return dire
}

func diagnoseTokens(status Status, worst Account, api health) Diagnosis {
	alike, troubled := 0, 0
	for _, account := range status.Accounts {
		if account.NeedsAttention {
			troubled++
		}
		if account.NeedsAttention && account.severity() == worst.severity() && account.Cause == worst.Cause {
			alike++
		}
	}
	told := Diagnosis{BrokerDegraded, worst.Cause, affected(len(status.Accounts), alike, worst), sentence(worst.reason()), worst.Advice}
	switch {
	case worst.State == AccountStale && worst.Cause == CauseCredentials:
		told.Summary += " work, but with the old credentials: the new ones cannot be used."
		return told.withOthers(troubled-alike, api)
	case worst.TokenValid:
		told.Summary += " still work, but only until the token ends: "
	case status.Ready:
		told.Summary += " fail: "
	default:
		told.State = BrokerDown
		told.Summary += " fail: "
	}
	told.Summary += causeTexts[worst.Cause] + "."
	return told.withOthers(troubled-alike, api)
}

// withOthers adds what is amiss with others.
func (v Diagnosis) withOthers(accounts int, api health) Diagnosis {
	if accounts > 0 {
		v.Detail += fmt.Sprintf(" Besides, %s.", othersNeedAttention(accounts))
	}
	if api.failing() {
		v.Detail += " Besides, " + api.String() + "."
	}
	return v
}

// affected requests they are: the accounts are named where they are not all.
func affected(accounts, alike int, worst Account) string {
	switch {
	case accounts == 1:
		return "Requests"
	case alike == accounts:
		return "Requests of all accounts"
	case alike == 1:
		return "Requests of the account " + worst.Account
	default:
		return fmt.Sprintf("Requests of %d of %d accounts", alike, accounts)
	}
}

var causeTexts = map[Cause]string{
	CauseCredentials:   "the credentials do not work",
	CauseLoginServer:   "the login server gives no token",
	CauseConfiguration: "what answers at ETRUSTED_TOKEN_URL gives no token for this configuration",
}

func othersNeedAttention(accounts int) string {
	if accounts == 1 {
		return "another account needs attention"
	}
	return fmt.Sprintf("%d other accounts need attention", accounts)
}

func diagnoseAPI(api health) Diagnosis {
	told := Diagnosis{
		BrokerDegraded, CauseAPI, "The token is fine, but the API fails.", sentence(api.String()),
		"The app can tell such answers apart: those of the API come as it sent them, and where it could not be reached at all, the broker's own say why, in detail. " +
			"If it lasts, check the status page of eTrusted, this machine's way to the API, and ETRUSTED_API_URL.",
	}
	if api.failed == api.requests {
		told.State = BrokerDown
	}
	return told
}

func (h health) String() string {
	return fmt.Sprintf("of the %s sent to the API in the last five minutes, %d failed", plural(h.requests, "request"), h.failed)
}
