package tokensource

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/problem"
)

// Outcome is the result of a token request. The set is closed; metrics use it as a label.
type Outcome string

// The outcomes of a token request.
const (
	OutcomeSuccess         Outcome = "success"
	OutcomeRejected        Outcome = "rejected"         // the login server rejects the credentials: fix them
	OutcomeUnavailable     Outcome = "unavailable"      // login server or network: temporary
	OutcomeInvalidResponse Outcome = "invalid_response" // the response is not a token response
)

// Outcomes lists all outcomes, in the order of Snapshot.Refreshes.
var Outcomes = [...]Outcome{OutcomeSuccess, OutcomeRejected, OutcomeUnavailable, OutcomeInvalidResponse}

func (o Outcome) index() int { return slices.Index(Outcomes[:], o) }

// RefreshError says why a token request failed. All its texts are written in this package and name variables and files.
// They contain nothing that the login server sent, so they may be logged and shown. For the same reason it does not wrap
// the network error, which can quote the server.
type RefreshError struct {
	Outcome Outcome
	Reason  string // what happened: "the login server answered 503 Service Unavailable"
	Advice  string // what to do about it, in whole sentences
	Status  int    // the HTTP status code of the response; zero without one

	Parameters bool          // the login server understood the request but refuses the configured audience or scope
	Unreadable bool          // no token was requested, because the credentials cannot be read
	RetryAfter time.Duration // the pause that the server asked for; zero if it did not
	timedOut   bool          // the login server, or the connection to it, did not answer in time
	sentAgain  bool          // the login server sent a known token, which has expired
}

// Error returns the reason and the advice.
func (e *RefreshError) Error() string { return e.Reason + ". " + e.Advice }

// The codes of credentials that the broker cannot use, in the log and on the status page.
const (
	CodeCredentialsUnreadable = "credentials-unreadable" // they cannot be read
	CodeNewCredentialsUnused  = "new-credentials-unused" // they have changed, and the old ones are still in use
)

// Code returns the code of the problem that requests without a token are answered with.
func (e *RefreshError) Code() string {
	switch {
	case e.Unreadable:
		return CodeCredentialsUnreadable
	case e.Outcome == OutcomeRejected:
		return ErrCredentialsRejected.Code
	default:
		return ErrNoToken.Code
	}
}

// isRefusal reports whether the response was a 4xx that means neither a rejection nor a temporary overload: it rarely heals by
// itself.
func (e *RefreshError) isRefusal() bool {
	return !isRejection(e) && e.Status >= 400 && !isTemporaryStatus(e.Status)
}

// isRejection reports whether the login server has rejected the credentials. A nil failure is not a rejection.
func isRejection(failure *RefreshError) bool {
	return failure != nil && failure.Outcome == OutcomeRejected
}

// isTemporaryStatus reports whether a status means that the same request may succeed later.
func isTemporaryStatus(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests
}

// The problems of Source.Wait and Source.WaitNewer. The errors that these return have the code of one of them, a Detail and
// a Hint of their own, and always a RetryAfter. They wrap the *RefreshError of the last token request, if it failed, and the
// context's error, if that ended the wait.
var (
	// ErrNoToken means that the login server or the network is the cause.
	ErrNoToken = &problem.Problem{
		Code:       "no-token",
		Status:     http.StatusServiceUnavailable,
		Title:      "There is no valid access token",
		ProxyError: "destination_unavailable",
		Detail:     "the login server has not answered yet",
		Hint:       outageAdvice,
	}
	// ErrCredentialsRejected means that the credentials are the cause.
	ErrCredentialsRejected = &problem.Problem{
		Code:       "credentials-rejected",
		Status:     http.StatusServiceUnavailable,
		Title:      "The credentials are rejected",
		ProxyError: "proxy_configuration_error",
		Detail:     "the login server rejected the credentials",
		Hint:       rejectedAdvice,
	}
	// ErrStopped means that no token will be fetched any more.
	ErrStopped = &problem.Problem{
		Code:       "token-source-stopped",
		Status:     http.StatusServiceUnavailable,
		Title:      "There is no valid access token",
		ProxyError: "destination_unavailable",
		Detail:     "the broker is shutting down, or the account was removed",
		Hint:       "Retry after the restart, or check that the account's directory exists.",
	}
)

// RejectedChecks lists what to check if the login server rejects the credentials.
const RejectedChecks = `In the eTrusted Control Centre (Settings > "SSO Client Management", administrators only), check:
1. "Client enabled" is green.
2. The Client ID is prefix and Identifier together, as "Show" displays it.
3. The Client Secret is the one that "Show" displays now, without quotes or spaces.
4. Both belong to the same client.
5. The client belongs to the environment of ETRUSTED_TOKEN_URL: production or QA.`

// rejectedAdvice is RejectedChecks in one line, for the log and for responses.
var rejectedAdvice = strings.ReplaceAll(RejectedChecks, "\n", " ") + " " + reloadAdvice

const (
	reloadAdvice        = `The broker picks up changed credential files automatically; after a change of environment variables, restart it.`
	outageAdvice        = "The broker retries automatically. If this lasts, check the eTrusted status page and this machine's connection to the login server."
	rateLimitAdvice     = "There are too many token requests: look for other copies of the broker or the app that use this credential. The broker retries automatically."
	wrongEndpointAdvice = "Check that ETRUSTED_TOKEN_URL is the token endpoint, and that no proxy in between responds in its place. The broker retries automatically."
)

// rejectedError is the error for credentials that the server rejects. code is from RFC 6749 section 5.2, or access_denied.
func rejectedError(status int, code string) *RefreshError {
	refreshErr := &RefreshError{
		Outcome: OutcomeRejected,
		Reason:  "the login server rejected the credentials (" + statusText(status, code) + ")",
		Advice:  rejectedAdvice,
	}
	switch code {
	case "access_denied": // the response to a wrong audience
		refreshErr.Advice += " If ETRUSTED_AUDIENCE is set, check it too."
	case "invalid_scope":
		refreshErr.Parameters = true
		refreshErr.Advice = "Check ETRUSTED_SCOPES: the client does not have one of these scopes."
	}
	return refreshErr
}

func notTokenResponseError(detail string) *RefreshError {
	return &RefreshError{
		Outcome: OutcomeInvalidResponse,
		Reason:  "the login server did not return a token response: " + detail,
		Advice:  wrongEndpointAdvice,
	}
}

func statusText(status int, code string) string {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if code != "" {
		text += ", " + code
	}
	return text
}
