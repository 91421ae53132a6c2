package proxy

import (
	"context"
	"net/http"
	"net/url"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// roundTrip sends one request of the app to the API, with a token.
type roundTrip struct {
	proxy  *Proxy
	w      http.ResponseWriter
	r      *http.Request
	url    *url.URL // of the API
	tokens TokenSource
	links  *linkRewriter // nil if links are not rewritten
	body   *requestBody
	record *RequestRecord
}

// do sends the request for a target of the API, and once more if the API rejects the token before its expiry. It returns
// the API's response, or why it has no response.
func (t *roundTrip) do(target string) (*http.Response, *problem.Problem) {
	var ok bool
	if t.url, ok = t.proxy.upstreamURL(target); !ok {
		return nil, access.ErrInvalidTarget
	}
	defer t.body.closeIfUnread(t.w.Header())
	if broken := t.body.buffer(t.proxy.config.RetryBuffer); broken != nil {
		return nil, broken
	}
	authorization, missing := t.authorization() // last, so that it cannot expire while a client sends slowly
	if missing != nil {
		return nil, missing
	}
	response, err := t.send(authorization)
	if err != nil {
		return nil, t.sendProblem(err)
	}
	if response.StatusCode != http.StatusUnauthorized {
		return response, nil
	}
	next, ok := t.newerToken(authorization)
	if !ok {
		return response, nil // the app gets the 401 unchanged
	}
	_ = response.Body.Close() // a 401 of eTrusted has none
	return t.retry(next)
}

// authorization returns the value of the Authorization field. If there is no token, it waits for one, as long as the
// configuration allows and the client stays.
func (t *roundTrip) authorization() (string, *problem.Problem) {
	if value, ok := t.tokens.Current(); ok {
		return value, nil
	}
	ctx, cancel := context.WithTimeout(t.r.Context(), t.proxy.config.TokenWait)
	defer cancel()
	value, err := t.tokens.Wait(ctx)
	switch {
	case err == nil:
		return value, nil
	case t.r.Context().Err() != nil:
		return "", errClientClosed
	default:
		return "", noToken(err)
	}
}

// newerToken returns the token that replaces one that the API has rejected. It reports false without a newer token, or if
// the request cannot be sent again.
func (t *roundTrip) newerToken(rejected string) (string, bool) {
	// Even without a retry: later requests need the next token.
	if !t.tokens.Invalidate(rejected) || !t.proxy.config.Retry {
		return "", false
	}
	if !t.body.replayable() {
		t.record.Retry = RetryBodyNotKept
		return "", false
	}
	ctx, cancel := context.WithTimeout(t.r.Context(), t.proxy.config.TokenWait)
	defer cancel()
	next, err := t.tokens.WaitNewer(ctx, rejected)
	if err != nil {
		t.record.Retry = RetryNoToken
	}
	return next, err == nil
}

// retry sends the request a second time, and returns whatever the API answers.
func (t *roundTrip) retry(authorization string) (*http.Response, *problem.Problem) {
	response, err := t.send(authorization)
	switch {
	case err != nil:
		t.record.Retry = RetryFailed
		return nil, t.sendProblem(err)
	case response.StatusCode == http.StatusUnauthorized:
		t.record.Retry = RetryUnauthorized
	default:
		t.record.Retry = RetrySuccess
		t.tokens.Accepted(authorization)
	}
	return response, nil
}

func (t *roundTrip) sendProblem(err error) *problem.Problem {
	switch {
	case t.r.Context().Err() != nil:
		return errClientClosed
	case t.body.failed.Load():
		return errBrokenBody
	default:
		return upstreamProblem(t.proxy.config.Upstream.Host, err)
	}
}
