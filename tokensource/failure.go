package tokensource

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Outcome tells how a token request ended: a closed set, used as the label of a metric.
type Outcome string

// The outcomes of a token request.
const (
	OutcomeSuccess         Outcome = "success"
	OutcomeRejected        Outcome = "rejected"         // the login server refuses the credentials: fix them
	OutcomeUnavailable     Outcome = "unavailable"      // login server or network: it heals by itself
	OutcomeInvalidResponse Outcome = "invalid_response" // an answer came that is no token answer
)

// Outcomes lists all of them, in the order of Snapshot.Refreshes.
var Outcomes = [...]Outcome{OutcomeSuccess, OutcomeRejected, OutcomeUnavailable, OutcomeInvalidResponse}

func (o Outcome) index() int { return slices.Index(Outcomes[:], o) }

// Failure is why a token request gave no token. All its texts are written in this package, with the names of variables
// and files: nothing of what the login server said is in them, so they may be logged and shown.
type RefreshError struct {
	Outcome Outcome
	Reason  string // what happened: "the login server answered 503 Service Unavailable"
	Advice  string // what to do about it, in whole sentences
	// Parameters means that the login server has understood the request, and refuses what is asked for: an audience or a
	// scope, which the configuration names.
	Parameters bool
	// RetryAfter is the pause that the server asked for; zero if it did not.
	RetryAfter time.Duration
}

// Error returns the reason and the advice.
func (f *RefreshError) Error() string {
	return f.Reason + ". " + f.Advice
}

// NoTokenError is what a request gets for which there is no token. Its texts hold no secret.
type NoTokenError struct {
	reason     string
	advice     string
	retryAfter time.Duration
	rejected   bool
}

// Error says why there is no token.
func (e *NoTokenError) Error() string { return e.reason }

// Advice says what to do about it, in whole sentences.
func (e *NoTokenError) Advice() string { return e.advice }

// RetryAfter is when another request may fare better; always positive.
func (e *NoTokenError) RetryAfter() time.Duration { return e.retryAfter }

// Rejected reports whether the credentials are at fault, rather than the login server or the network.
func (e *NoTokenError) Rejected() bool { return e.rejected }

const rejectedAdvice = `Look in the eTrusted Control Centre under Settings > "SSO Client Management" (it takes administrator rights: ask your company's eTrusted administrator): ` +
	`the Client ID is the prefix and the Identifier together, as shown after a click on the client's arrow and on "Show"; ` +
	`the switch "Client enabled" is green; ` +
	`the Client Secret is read anew with "Show"; ` +
	`and both belong to the same client. ` +
	`Credentials in files are used as soon as they change; those in the environment need a restart of the broker.`

const (
	outageAdvice   = "The broker tries again by itself. If it lasts, check the status page of eTrusted and this machine's way to the login server."
	tokenURLAdvice = "Check ETRUSTED_TOKEN_URL: it should be the token endpoint, and nothing between here and there should answer in its place. The broker tries again by itself."
)

// rejected is a Failure for credentials that the server refuses. code is from RFC 6749 section 5.2, or empty.
func rejected(status int, code string) *RefreshError {
	failure := &RefreshError{
		Outcome: OutcomeRejected,
		Reason:  "the login server rejected the credentials (" + statusAndCode(status, code) + ")",
		Advice:  rejectedAdvice,
	}
	if code == "access_denied" { // what a wrong audience gets
		failure.Advice += " If you have set ETRUSTED_AUDIENCE, check it too."
	}
	return failure
}

func invalidResponse(what string) *RefreshError {
	return &RefreshError{
		Outcome: OutcomeInvalidResponse,
		Reason:  "the login server's answer is no token answer: " + what,
		Advice:  tokenURLAdvice,
	}
}

// oneLine joins errors that errors.Join puts on lines of their own.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func statusAndCode(status int, code string) string {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if code != "" {
		text += ", " + code
	}
	return text
}
