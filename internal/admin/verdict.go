package admin

import (
	"fmt"

	"etrusted-broker/tokensource"
)

// Verdict is the whole in a few sentences: whether the broker works, and if not, whose fault it is and what to do.
type Verdict struct {
	State   Overall `json:"state"`
	AtFault Fault   `json:"at_fault"`
	Summary string  `json:"summary"`
	// Detail says more about it; absent if there is no more to say.
	Detail string `json:"detail,omitempty"`
	Advice string `json:"advice"`
}

// Overall is how the broker fares: a closed set.
type Overall string

// The states of the broker.
const (
	Working  Overall = "working"
	Waiting  Overall = "starting" // for a token; the attempt at one has not failed yet
	Degraded Overall = "degraded" // requests are served, but not all of them, or not for long
	Down     Overall = "down"     // requests fail
	Draining Overall = "draining" // it is shutting down
)

// Overalls lists all of them.
var Overalls = [...]Overall{Working, Waiting, Degraded, Down, Draining}

func (o Overall) symbol() string {
	return map[Overall]string{
		Working:  "#check",
		Waiting:  "#dots",
		Degraded: "#warning",
		Down:     "#cross",
		Draining: "#power",
	}[o]
}

func verdict(status Status, api health) Verdict {
	worst := worstOf(status)
	switch {
	case status.Draining:
		return Verdict{Draining, Nobody, "The broker is shutting down.", "It takes no new requests and ends those that it has.", "Start it again if nobody else does."}
	case len(status.Accounts) == 0:
		return Verdict{
			Down, Configuration, "There is no account to work with.", "The broker has no credentials to fetch a token with.",
			"Put a folder NAME with client_id and client_secret into ETRUSTED_ACCOUNTS_DIR, or set ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET and start the broker again.",
		}
	case worst != nil:
		return aboutTokens(status, *worst, api)
	case !status.Ready:
		return Verdict{Waiting, Nobody, "The broker is fetching a token.", "Requests wait for it.", "Wait some seconds."}.besides(0, api)
	case api.troubled():
		return aboutAPI(api)
	default:
		return Verdict{Working, Nobody, "Everything works.", "", "There is nothing to do."}
	}
}

// worstOf returns the troubled account in the direst straits, the first of them if there are several; nil if none is. It is
// the default account, come what may, if that is why the broker is not ready.
func worstOf(status Status) *Account {
	var worst *Account
	for i, account := range status.Accounts {
		switch {
		case !account.Troubled:
		case account.Account == tokensource.DefaultAccount && !account.TokenValid:
			return &status.Accounts[i]
		case worst == nil || account.direness() > worst.direness():
			worst = &status.Accounts[i]
		}
	}
	return worst
}

// direness orders the troubled: without a token before those that have one, what does not heal by itself before what may;
// last those whose token is even refreshed.
func (a Account) direness() int {
	dire := 0
	if !a.TokenValid {
		dire += 2
	}
	switch a.State {
	case Rejected:
		dire++
	case Stale:
		dire--
	}
	return dire
}

func aboutTokens(status Status, worst Account, api health) Verdict {
	alike, troubled := 0, 0
	for _, account := range status.Accounts {
		if account.Troubled {
			troubled++
		}
		if account.Troubled && account.direness() == worst.direness() && account.AtFault == worst.AtFault {
			alike++
		}
	}
	told := Verdict{Degraded, worst.AtFault, whose(len(status.Accounts), alike, worst), sentence(worst.reason()), worst.Advice}
	switch {
	case worst.State == Stale && worst.AtFault == Credentials:
		told.Summary += " work, but with the old credentials: the new ones cannot be used."
		return told.besides(troubled-alike, api)
	case worst.TokenValid:
		told.Summary += " still work, but only until the token ends: "
	case status.Ready:
		told.Summary += " fail: "
	default:
		told.State = Down
		told.Summary += " fail: "
	}
	told.Summary += causes[worst.AtFault] + "."
	return told.besides(troubled-alike, api)
}

// besides adds what is amiss with others.
func (v Verdict) besides(accounts int, api health) Verdict {
	if accounts > 0 {
		v.Detail += fmt.Sprintf(" Besides, %s.", needsAttention(accounts))
	}
	if api.troubled() {
		v.Detail += " Besides, " + api.inWords() + "."
	}
	return v
}

// whose requests they are: the accounts are named where they are not all.
func whose(accounts, alike int, worst Account) string {
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

var causes = map[Fault]string{
	Credentials:   "the credentials do not work",
	LoginServer:   "the login server gives no token",
	Configuration: "what answers at ETRUSTED_TOKEN_URL gives no token for this configuration",
}

func needsAttention(accounts int) string {
	if accounts == 1 {
		return "another account needs attention"
	}
	return fmt.Sprintf("%d other accounts need attention", accounts)
}

func aboutAPI(api health) Verdict {
	told := Verdict{
		Degraded, API, "The token is fine, but the API fails.", sentence(api.inWords()),
		"The app can tell such answers apart: those of the API come as it sent them, and where it could not be reached at all, the broker's own say why, in detail. " +
			"If it lasts, check the status page of eTrusted, this machine's way to the API, and ETRUSTED_API_URL.",
	}
	if api.failed == api.asked {
		told.State = Down
	}
	return told
}

func (h health) inWords() string {
	return fmt.Sprintf("of the %s sent to the API in the last five minutes, %d failed", plural(h.asked, "request"), h.failed)
}
