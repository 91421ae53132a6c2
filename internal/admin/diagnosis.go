package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"etrusted-broker/metrics"
	"etrusted-broker/tokensource"
)

// Diagnosis summarizes the broker's state: whether it works, and if not, the cause and what to do.
type Diagnosis struct {
	State BrokerState `json:"state"`
	// Since is when the diagnosis became this one.
	Since time.Time `json:"since"`
	Cause Cause     `json:"cause"`
	// Code is the code of the problem in docs/troubleshooting.md; absent without one.
	Code    string `json:"code,omitempty"`
	Summary string `json:"summary"`
	// Detail adds to Summary, and names further problems; absent if there is nothing to add.
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

// stateSeverity orders the states of problems: the worst is the diagnosis, the others are details of it.
var stateSeverity = map[BrokerState]int{BrokerDown: 3, BrokerStarting: 2, BrokerDegraded: 1, BrokerWorking: 0}

func diagnose(status Status, t traffic) Diagnosis {
	switch {
	case status.Draining:
		return Diagnosis{
			State: BrokerDraining, Cause: CauseNone, Summary: "The broker is shutting down.",
			Detail: "It completes the requests in progress and accepts no new ones.", Advice: "Start it again if nothing restarts it.",
		}
	case len(status.Accounts) == 0:
		return Diagnosis{
			State: BrokerDown, Cause: CauseConfiguration, Code: "no-account",
			Summary: "No account is configured.", Detail: "The broker has no credentials.",
			Advice: "Create a directory NAME with client_id and client_secret in ETRUSTED_ACCOUNTS_DIR, or set ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET and restart the broker.",
		}
	}
	problems := slices.Concat(diagnoseWorstTokenProblem(status), t.diagnoseAPI(status.Failures), t.diagnoseRefusals(status.Failures),
		diagnoseCallers(status.CallerProblems), status.TokenStore.diagnose())
	if len(problems) == 0 {
		return Diagnosis{State: BrokerWorking, Cause: CauseNone, Summary: "Everything works.", Advice: "There is nothing to do."}
	}
	slices.SortStableFunc(problems, func(x, y Diagnosis) int { return stateSeverity[y.State] - stateSeverity[x.State] })
	worst := problems[0]
	for _, other := range problems[1:] {
		worst.Detail += " " + other.Summary + " " + other.Detail
	}
	worst.Detail = strings.TrimSpace(worst.Detail)
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
	case AccountBadCredentials:
		severity++
	case AccountReloadFailing:
		severity--
	}
	return severity
}

// diagnoseWorstTokenProblem describes the worst problem of the tokens. That of a default account without a token always wins, because that is
// why the broker is not ready.
func diagnoseWorstTokenProblem(status Status) []Diagnosis {
	affected := slices.DeleteFunc(slices.Clone(status.Accounts), func(a Account) bool { return !a.NeedsAttention })
	switch {
	case len(affected) == 0 && status.Ready:
		return nil
	case len(affected) == 0:
		return []Diagnosis{{
			State: BrokerStarting, Cause: CauseNone,
			Summary: "The broker is fetching a token.", Detail: "Requests wait for it.", Advice: "Wait some seconds.",
		}}
	}
	worst := slices.MaxFunc(affected, func(a, b Account) int { return cmp.Compare(a.severity(), b.severity()) })
	for _, account := range affected {
		if account.Account == tokensource.DefaultAccount && !account.TokenValid {
			worst = account
		}
	}
	others := 0 // with another problem
	for _, account := range affected {
		if account.severity() != worst.severity() || account.Cause != worst.Cause {
			others++
		}
	}
	problem := cmp.Or(worst.UnusedCredentials, worst.LastError)
	subject, why := affectedAccounts(len(status.Accounts), len(affected)-others, worst), causeTexts[worst.Cause]
	if worst.Code == tokensource.CodeCredentialsUnreadable {
		why = "the credentials cannot be read"
	}
	diagnosis := Diagnosis{
		State: BrokerDegraded, Cause: worst.Cause, Code: worst.Code,
		Summary: "Requests" + subject + " fail: " + why + ".", Detail: sentence(problem.Reason), Advice: worst.Advice,
	}
	switch {
	case worst.State == AccountReloadFailing && worst.Cause == CauseCredentials:
		diagnosis.Summary = "New credentials" + subject + " cannot be used; the old ones are still in use."
	case worst.TokenValid:
		diagnosis.Summary = "Requests" + subject + " will fail once the token expires: " + why + "."
	case !status.Ready:
		diagnosis.State = BrokerDown
	}
	switch others {
	case 0:
	case 1:
		diagnosis.Detail += " Another account needs attention."
	default:
		diagnosis.Detail += fmt.Sprintf(" %d other accounts need attention.", others)
	}
	return []Diagnosis{diagnosis}
}

// affectedAccounts names the accounts if not all are affected.
func affectedAccounts(accountCount, affectedCount int, worst Account) (phrase string) {
	switch {
	case accountCount == 1:
		return ""
	case affectedCount == accountCount:
		return " of all accounts"
	case affectedCount == 1:
		return " of the account " + worst.Account
	default:
		return fmt.Sprintf(" of %d of %d accounts", affectedCount, accountCount)
	}
}

var causeTexts = map[Cause]string{
	CauseCredentials:   "the credentials do not work",
	CauseLoginServer:   "cannot get a token from the login server",
	CauseConfiguration: "the server at ETRUSTED_TOKEN_URL issues no token for this configuration",
}

// diagnoseRefusals reports that the broker refuses many requests. The last one stands for all of them.
func (t traffic) diagnoseRefusals(failures []FailedRequest) []Diagnosis {
	refused := t.share(metrics.CountLocal4xx, metrics.Counts.Requests)
	i := slices.IndexFunc(failures, func(f FailedRequest) bool { return f.Local && f.Status < 500 })
	if !refused.needsAttention() || i < 0 {
		return nil
	}
	return []Diagnosis{{
		State: BrokerDegraded, Cause: CauseApp, Code: failures[i].Code, Summary: "The broker refuses requests.",
		Detail: fmt.Sprintf("It refused %d of %d requests in the last 5 minutes, the last one because %s.", refused.part, refused.all, failures[i].Reason),
		Advice: failures[i].Hint,
	}}
}

// diagnoseCallers describes what is wrong with the files of callers: a caller may be refused, or keep rights that it should not
// have any more.
func diagnoseCallers(fileProblems []string) []Diagnosis {
	if len(fileProblems) == 0 {
		return nil
	}
	detail := sentence(fileProblems[0])
	if more := len(fileProblems) - 1; more > 0 {
		detail += fmt.Sprintf(" More such problems: %d.", more)
	}
	return []Diagnosis{{
		State: BrokerDegraded, Cause: CauseConfiguration, Code: "caller-files",
		Summary: "Files of callers cannot be used.", Detail: detail,
		Advice: "Correct the files in BROKER_CALLERS_DIR. They are read again at once.",
	}}
}

// CodeTokenStoreUnavailable is the code of a token store that does not work, on the status page and in the log.
const CodeTokenStoreUnavailable = "token-store-unavailable"

func (s *TokenStoreStatus) diagnose() []Diagnosis {
	if s == nil || s.Working {
		return nil
	}
	return []Diagnosis{{
		State: BrokerWorking, Cause: CauseTokenStore, Code: CodeTokenStoreUnavailable,
		Summary: "The token is not shared: the token store is unavailable.", Detail: "It " + s.Problem + ".",
		Advice: "Requests work. Until the store works again, each broker fetches its own token.",
	}}
}
