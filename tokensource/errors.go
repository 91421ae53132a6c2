package tokensource

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
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
	// Parameters means that the login server understood the request but refuses the configured audience or scope.
	Parameters bool
	// RetryAfter is the pause that the server asked for; zero if it did not.
	RetryAfter time.Duration
}

// Error returns the reason and the advice.
func (e *RefreshError) Error() string {
	return e.Reason + ". " + e.Advice
}

// NoTokenError is the error of Source.Wait and Source.WaitNewer. Its texts contain no secret.
type NoTokenError struct {
	reason     string
	advice     string
	retryAfter time.Duration
	rejected   bool
	causes     []error
}

// Error says why there is no token.
func (e *NoTokenError) Error() string { return e.reason }

// Unwrap returns the *RefreshError of the last token request, if it failed, and the context's error, if that ended the
// wait.
func (e *NoTokenError) Unwrap() []error { return e.causes }

// Advice says what to do about it, in whole sentences.
func (e *NoTokenError) Advice() string { return e.advice }

// RetryAfter is how long to wait before the next request; always positive.
func (e *NoTokenError) RetryAfter() time.Duration { return e.retryAfter }

// Rejected reports whether the credentials are the cause, rather than the login server or the network.
func (e *NoTokenError) Rejected() bool { return e.rejected }

const rejectedAdvice = `Client ID or Client Secret is wrong. ` +
	`Check in the eTrusted Control Centre (Settings > "SSO Client Management", administrators only): ` +
	`1. Client ID = prefix + Identifier. ` +
	`2. "Client enabled" is green. ` +
	`3. Copy the secret again with "Show". ` +
	`4. Both belong to the same client. ` +
	`The broker picks up changed credential files automatically; after a change of environment variables, restart it.`

const (
	outageAdvice   = "The broker retries automatically. If this lasts, check the eTrusted status page and this machine's connection to the login server."
	wrongEndpointAdvice = "Check that ETRUSTED_TOKEN_URL is the token endpoint, and that no proxy in between responds in its place. The broker retries automatically."
)

// rejectedError is the error for credentials that the server rejects. code is from RFC 6749 section 5.2, or empty.
func rejectedError(status int, code string) *RefreshError {
	refreshErr := &RefreshError{
		Outcome: OutcomeRejected,
		Reason:  "the login server rejected the credentials (" + statusText(status, code) + ")",
		Advice:  rejectedAdvice,
	}
	if code == "access_denied" { // the response to a wrong audience
		refreshErr.Advice += " If ETRUSTED_AUDIENCE is set, check it too."
	}
	return refreshErr
}

func invalidResponseError(detail string) *RefreshError {
	return &RefreshError{
		Outcome: OutcomeInvalidResponse,
		Reason:  "the login server did not return a token response: " + detail,
		Advice:  wrongEndpointAdvice,
	}
}

// oneLine joins the lines that errors.Join writes.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func statusText(status int, code string) string {
	text := fmt.Sprintf("%d %s", status, http.StatusText(status))
	if code != "" {
		text += ", " + code
	}
	return text
}
