package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// RetryOutcome is what came of an occasion to send a request again: a closed set, used as the label of a metric.
type RetryOutcome string

// The outcomes of a 401 to a token that may be replaced.
const (
	RetrySuccess      RetryOutcome = "success"      // sent again, and answered with anything but 401
	RetryUnauthorized RetryOutcome = "unauthorized" // sent again, and answered with 401
	RetryFailed       RetryOutcome = "failed"       // sent again, and not answered
	RetryBodyNotKept  RetryOutcome = "body_not_kept"
	RetryNoToken      RetryOutcome = "no_token" // there was no other token in time
)

// RetryOutcomes lists all of them.
var RetryOutcomes = [...]RetryOutcome{RetrySuccess, RetryUnauthorized, RetryFailed, RetryBodyNotKept, RetryNoToken}

// Sent reports whether the request was sent a second time.
func (r RetryOutcome) Sent() bool {
	switch r {
	case RetrySuccess, RetryUnauthorized, RetryFailed:
		return true
	default:
		return false
	}
}

// roundTrip is a request that has come in, on its way to the API.
type roundTrip struct {
	proxy  *Proxy
	w      http.ResponseWriter
	r      *http.Request
	target *url.URL
	tokens TokenSource
	links  *linkRewriter // nil if no links are rewritten
	body   *requestBody
	record *RequestRecord
}

// do attaches the token and sends the request, a second time if the first token turns out to be dead before its
// time. It returns the API's response, or the problem that keeps it from there.
func (x *roundTrip) do() (*http.Response, *problem) {
	if problem := x.body.buffer(x.proxy.retryBuffer()); problem != nil {
		return nil, problem
	}
	authorization, problem := x.authorization() // last, so that it cannot expire while a client sends slowly
	if problem != nil {
		return nil, problem
	}
	response, err := x.send(authorization)
	if err != nil {
		return nil, x.sendProblem(err)
	}
	if response.StatusCode != http.StatusUnauthorized {
		return response, nil
	}
	next, ok := x.newerToken(authorization)
	if !ok {
		return response, nil // the 401 goes to the app as it came
	}
	_ = response.Body.Close() // nobody reads it; a 401 of eTrusted has none
	return x.retry(next)
}

// authorization returns the value of the one Authorization header that goes upstream. Where there is no token it
// waits for one, as long as the configuration allows and the client stays.
func (x *roundTrip) authorization() (string, *problem) {
	if value, ok := x.tokens.Current(); ok {
		return value, nil
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.proxy.config.TokenWait)
	defer cancel()
	value, err := x.tokens.Wait(ctx)
	switch {
	case err == nil:
		return value, nil
	case x.r.Context().Err() != nil:
		return "", clientGone
	default:
		return "", tokenProblem(err)
	}
}

// retryBuffer is how many bytes of a body are kept.
func (p *Proxy) retryBuffer() int64 {
	if !p.config.Retry {
		return 0
	}
	return p.config.RetryBuffer
}

// newerToken returns the token that is to be sent in place of one that the API has refused. It reports false if there
// is none, or if the request cannot be sent again.
func (x *roundTrip) newerToken(refused string) (string, bool) {
	// Even if nothing is ever sent again: the requests after this one need the next token.
	if !x.tokens.Invalidate(refused) || !x.proxy.config.Retry {
		return "", false
	}
	if !x.body.replayable() {
		x.record.Retry = RetryBodyNotKept
		return "", false
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.proxy.config.TokenWait)
	defer cancel()
	next, err := x.tokens.WaitNewer(ctx, refused)
	if err != nil {
		x.record.Retry = RetryNoToken
	}
	return next, err == nil
}

// retry sends the request a second time. Never a third: whatever comes is the app's.
func (x *roundTrip) retry(authorization string) (*http.Response, *problem) {
	response, err := x.send(authorization)
	switch {
	case err != nil:
		x.record.Retry = RetryFailed
		return nil, x.sendProblem(err)
	case response.StatusCode == http.StatusUnauthorized:
		x.record.Retry = RetryUnauthorized
	default:
		x.record.Retry = RetrySuccess
	}
	return response, nil
}

func (x *roundTrip) sendProblem(err error) *problem {
	switch {
	case x.r.Context().Err() != nil:
		return clientGone
	case x.body.failed.Load():
		return brokenBody
	}
	return upstreamFailed(x.proxy.config.Upstream.Host, err)
}

func tokenProblem(err error) *problem {
	p := problem{
		status:     http.StatusServiceUnavailable,
		name:       "no-token",
		title:      "There is no valid access token",
		errorType:  "destination_unavailable",
		what:       "there is no valid access token",
		advice:     "Try again soon.",
		retryAfter: time.Second,
	}
	var told TokenError
	if !errors.As(err, &told) {
		return &p
	}
	p.what, p.advice, p.retryAfter = told.Error(), told.Advice(), told.RetryAfter()
	if told.Rejected() {
		p.name, p.title, p.errorType = "credentials-rejected", "The credentials are rejected", "proxy_configuration_error"
	}
	return &p
}
