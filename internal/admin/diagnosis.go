package admin

import (
	"fmt"

	"etrusted-broker/tokensource"
)

// Diagnosis summarizes the broker's state: whether it works, and if not, the cause and what to do.
type Diagnosis struct {
	State   BrokerState `json:"state"`
	Cause   Cause       `json:"cause"`
	Summary string      `json:"summary"`
	// Detail adds to Summary; absent if there is nothing to add.
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice"`
}

// BrokerState is the state of the broker: a closed set.
type BrokerState string

// The states of the broker.
const (
	BrokerWorking  BrokerState = "working"
	BrokerStarting BrokerState = "starting" // no token yet, and no failure yet
	BrokerDegraded BrokerState = "degraded" // some requests fail, or all soon will
	BrokerDown     BrokerState = "down"     // requests fail
	BrokerDraining BrokerState = "draining" // shutting down
)

// brokerSymbols has the icon of each state.
var brokerSymbols = map[BrokerState]string{
	BrokerWorking:  "#check",
	BrokerStarting: "#dots",
	BrokerDegraded: "#warning",
	BrokerDown:     "#cross",
	BrokerDraining: "#power",
}

func diagnose(status Status, api apiHealth) Diagnosis {
	worst := mostSevere(status)
	switch {
	case status.Draining:
		return Diagnosis{BrokerDraining, CauseNone, "The broker is shutting down.", "It completes the requests in progress and accepts no new ones.", "Start it again if nothing restarts it."}
	case len(status.Accounts) == 0:
		return Diagnosis{
			BrokerDown, CauseConfiguration, "No account is configured.", "The broker has no credentials.",
			"Create a directory NAME with client_id and client_secret in ETRUSTED_ACCOUNTS_DIR, or set ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET and restart the broker.",
		}
	case worst != nil:
		return diagnoseTokens(status, *worst, api)
	case !status.Ready:
		return Diagnosis{BrokerStarting, CauseNone, "The broker is fetching a token.", "Requests wait for it.", "Wait some seconds."}.withOtherProblems(0, api)
	case api.failing():
		return diagnoseAPI(api)
	default:
		return Diagnosis{BrokerWorking, CauseNone, "Everything works.", "", "There is nothing to do."}
	}
}

// mostSevere returns the account with the most severe problem, the first of several; nil if no account needs attention. A
// default account without a token always wins, because that is why the broker is not ready.
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

// severity orders accounts that need attention. No token is worse than a valid one; rejected credentials, which need a fix,
// are worse than an outage, which may end; least severe is a token that is still refreshed, with the old credentials.
func (a Account) severity() int {
	severity := 0
	if !a.TokenValid {
		severity += 2
	}
	switch a.State {
	case AccountRejected:
		severity++
	case AccountStale:
		severity--
	}
	return severity
}

func diagnoseTokens(status Status, worst Account, api apiHealth) Diagnosis {
	sameProblem, needAttention := 0, 0
	for _, account := range status.Accounts {
		if !account.NeedsAttention {
			continue
		}
		needAttention++
		if account.severity() == worst.severity() && account.Cause == worst.Cause {
			sameProblem++
		}
	}
	diagnosis := Diagnosis{BrokerDegraded, worst.Cause, affectedAccounts(len(status.Accounts), sameProblem, worst), sentence(worst.reason()), worst.Advice}
	others := needAttention - sameProblem
	switch {
	case worst.State == AccountStale && worst.Cause == CauseCredentials:
		diagnosis.Summary += " work with the old credentials: the new ones cannot be used."
		return diagnosis.withOtherProblems(others, api)
	case worst.TokenValid:
		diagnosis.Summary += " work only until the token expires: "
	case status.Ready:
		diagnosis.Summary += " fail: "
	default:
		diagnosis.State = BrokerDown
		diagnosis.Summary += " fail: "
	}
	diagnosis.Summary += causeTexts[worst.Cause] + "."
	return diagnosis.withOtherProblems(others, api)
}

// withOtherProblems adds the less severe problems to the detail.
func (d Diagnosis) withOtherProblems(accounts int, api apiHealth) Diagnosis {
	if accounts > 0 {
		d.Detail += " " + othersNeedAttention(accounts)
	}
	if api.failing() {
		d.Detail += " " + api.String()
	}
	return d
}

// affectedAccounts is the subject of the summary: it names the accounts if not all are affected.
func affectedAccounts(accounts, sameProblem int, worst Account) string {
	switch {
	case accounts == 1:
		return "Requests"
	case sameProblem == accounts:
		return "Requests of all accounts"
	case sameProblem == 1:
		return "Requests of the account " + worst.Account
	default:
		return fmt.Sprintf("Requests of %d of %d accounts", sameProblem, accounts)
	}
}

var causeTexts = map[Cause]string{
	CauseCredentials:   "the credentials do not work",
	CauseLoginServer:   "cannot get a token from the login server",
	CauseConfiguration: "the server at ETRUSTED_TOKEN_URL issues no token for this configuration",
}

func othersNeedAttention(accounts int) string {
	if accounts == 1 {
		return "Another account needs attention."
	}
	return fmt.Sprintf("%d other accounts need attention.", accounts)
}

func diagnoseAPI(api apiHealth) Diagnosis {
	diagnosis := Diagnosis{
		BrokerDegraded, CauseAPI, "The API returns errors. The token is fine.", api.String(),
		"The API's own responses pass through unchanged. If it cannot be reached, the broker's response says why, in detail. " +
			"If this lasts, check the eTrusted status page, this machine's connection to the API, and ETRUSTED_API_URL.",
	}
	if api.failed == api.requests {
		diagnosis.State = BrokerDown
	}
	return diagnosis
}

func (h apiHealth) String() string {
	return fmt.Sprintf("%d of %s to the API failed in the last 5 minutes.", h.failed, plural(h.requests, "request"))
}
