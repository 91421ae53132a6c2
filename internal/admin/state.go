package admin

import "etrusted-broker/tokensource"

// State is how an account's token fares: a closed set.
type State string

// The states of an account.
const (
	Healthy    State = "healthy"           // the token is valid
	Refreshing State = "refreshing"        // the token is valid, and its successor is being fetched
	Starting   State = "starting"          // there is no token, and the attempt at one has not failed yet
	Failing    State = "failing"           // the token is valid, but the last attempt at its successor failed
	Stale      State = "stale_credentials" // the token is valid, but the credentials were changed and the new ones do not work
	Outage     State = "outage"            // there is no token, since the login server gives none
	Rejected   State = "rejected"          // the credentials are refused, or cannot be read; an older token may be valid yet
)

// States lists all of them.
var States = [...]State{Healthy, Refreshing, Starting, Failing, Stale, Outage, Rejected}

func stateOf(snapshot tokensource.Snapshot) State {
	failure := snapshot.LastFailure
	switch {
	case failure != nil && failure.Outcome == tokensource.OutcomeRejected:
		return Rejected
	case failure != nil && snapshot.Valid:
		return Failing
	case failure != nil:
		return Outage
	case !snapshot.Valid:
		return Starting
	case snapshot.PendingReload != nil:
		return Stale
	case !snapshot.FetchingSince.IsZero():
		return Refreshing
	default:
		return Healthy
	}
}

// troubled reports whether somebody should look at the account.
func (s State) troubled() bool { return s == Failing || s == Stale || s == Outage || s == Rejected }

// word is the state for people.
func (s State) word() string {
	return map[State]string{
		Healthy:    "Healthy",
		Refreshing: "Refreshing",
		Starting:   "Starting",
		Failing:    "Refresh failing",
		Stale:      "New credentials not used",
		Outage:     "No token",
		Rejected:   "Credentials rejected",
	}[s]
}

// symbol is the state's picture in page.html: each has a shape of its own, for those who do not see its colour.
func (s State) symbol() string {
	return map[State]string{
		Healthy:    "#check",
		Refreshing: "#arrows",
		Starting:   "#dots",
		Failing:    "#warning",
		Stale:      "#warning",
		Outage:     "#cross",
		Rejected:   "#key",
	}[s]
}

// summarize tells how the account fares, in whole sentences. Why a request failed is told as the last error.
func summarize(snapshot tokensource.Snapshot, state State) string {
	left := spell(snapshot.Remaining)
	switch {
	case state == Healthy:
		return "The token is valid for " + left + " more."
	case state == Refreshing:
		return "The token is valid for " + left + " more, and its successor is being fetched."
	case state == Starting:
		return sentence(firstOrNext(snapshot)) + " Requests wait for it."
	case state == Stale:
		return "The token is valid for " + left + " more. It was fetched with the old credentials, since the new ones cannot be used."
	case !snapshot.Valid:
		return "There is no token, and requests fail."
	case state == Rejected:
		return "The old token still works for " + left + ", but there will be no other."
	default:
		return "The token still works for " + left + ", but its refresh has failed" + times(snapshot.ConsecutiveFailures) + "."
	}
}
