package proxy

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

// roundTrip sends the request to the API, and once more if the API rejects the token before its expiry.
func (x *exchange) roundTrip() (*http1.ClientResponse, *problem.Problem) {
	authorization, api, failed := x.readBodyAndToken()
	if failed != nil {
		return nil, failed
	}
	x.upstream = x.proxy.upstreamOf(api)
	if x.addressed != "" && x.addressed != x.upstream.canonicalHost && x.proxy.config.AccountOf != nil {
		return nil, errAccountOfOtherAPI
	}
	x.links = x.proxy.newLinkRewriter(x.upstream, x.r, &x.route)
	response, err := x.sendUpstream(authorization)
	if err == nil && response.Status == http.StatusUnauthorized {
		if next, ok := x.newerToken(authorization); ok { // or else the app gets the 401 unchanged
			_ = response.Body.Close() // a 401 of eTrusted has none
			response, err = x.sendUpstream(next)
			switch {
			case err != nil:
				x.record.Retry = RetryFailed
			case response.Status == http.StatusUnauthorized:
				x.record.Retry = RetryUnauthorized
				x.tokens.Invalidate(next)
			default:
				x.record.Retry = RetryAuthorized
				x.tokens.MarkAccepted(next)
			}
		}
	}
	if err != nil {
		return nil, x.upstreamFailure(err)
	}
	return response, nil
}

// maxBodyReadBeforeToken is the longest body that is read before there is a token. It has usually arrived with the header, in a
// buffer that is not smaller; and only once the body is read is it noticed that the client goes away.
const maxBodyReadBeforeToken = 2 << 10

// readBodyAndToken reads the body, unless it is streamed, and returns the value of the Authorization field with its API. While a
// request waits for a token, it holds no long body: there may be thousands of them.
func (x *exchange) readBodyAndToken() (string, *url.URL, *problem.Problem) {
	if x.r.ContentLength < 0 || x.r.ContentLength > maxBodyReadBeforeToken {
		if _, _, missing := x.authorization(); missing != nil {
			return "", nil, missing
		}
	}
	if broken := x.body.read(); broken != nil {
		return "", nil, broken
	}
	return x.authorization() // last, so that it cannot expire while a client sends slowly
}

// authorization returns the value of the Authorization field, and the API that it is for. It waits for a token if necessary.
func (x *exchange) authorization() (string, *url.URL, *problem.Problem) {
	if value, api, ok := x.tokens.Current(); ok {
		return value, api, nil
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.proxy.config.TokenWait)
	defer cancel()
	value, api, err := x.tokens.Wait(ctx)
	switch {
	case err == nil:
		return value, api, nil
	case x.r.Gone():
		return "", nil, errClientClosed
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return "", nil, p
	}
	return "", nil, errTokenTimeout
}

// newerToken returns the token that replaces one that the API has rejected, or false if the request is not to be sent again.
func (x *exchange) newerToken(rejected string) (string, bool) {
	// Even without a retry: later requests need the next token.
	if !x.tokens.Invalidate(rejected) || !x.proxy.config.Retry {
		return "", false
	}
	if !x.body.canBeResent() {
		x.record.Retry = RetryBodyNotKept
		return "", false
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.proxy.config.TokenWait)
	defer cancel()
	next, api, err := x.tokens.WaitNewer(ctx, rejected)
	if err != nil || x.proxy.upstreamOf(api) != x.upstream { // the account has been moved to another API meanwhile
		x.record.Retry = RetryNoToken
		return "", false
	}
	return next, true
}

// sendUpstream sends the request once.
func (x *exchange) sendUpstream(authorization string) (*http1.ClientResponse, error) {
	request := x.outboundRequest(x.route.APITarget, x.upstream.host, authorization)
	request.Repeatable = request.Stream == nil && isSafeOrHasIdempotencyKey(x.r.Method, x.r.Fields)
	x.sentToken = strings.TrimPrefix(authorization, "Bearer ")
	began := time.Now()
	response, err := x.upstream.client.RoundTrip(request)
	x.record.Upstream += time.Since(began)
	return response, err
}

// outboundRequest returns the app's request as it is sent to a host. It is valid until the next call.
func (x *exchange) outboundRequest(target, host, authorization string) *http1.ClientRequest {
	request := &x.request
	request.Method, request.Target, request.Caller = x.r.Method, target, x.r
	x.body.attachTo(request)
	request.Fields = x.outboundFields(host, authorization)
	request.OnInformational = x
	if request.ExpectContinue {
		request.OnInformational = nil // the body's reader may write "100 Continue" at the same time
	}
	return request
}

// isSafeOrHasIdempotencyKey reports whether a request without a streamed body may be sent again if its connection fails: RFC 9110
// section 9.2.2. PUT and DELETE are idempotent, but a program that sends them may not know that.
func isSafeOrHasIdempotencyKey(method string, fields http1.Fields) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	default:
		return fields.Has("Idempotency-Key") || fields.Has("X-Idempotency-Key")
	}
}

// Informational implements http1.InformationalHandler: it forwards an informational response (RFC 9110 section 15.2).
func (x *exchange) Informational(status int, reason string, fields http1.Fields) error {
	drop := fieldsNamedInConnection(fields)
	fields.DeleteFunc(func(field http1.Field) bool {
		return x.hasSentToken(field.Value) || !forwardedDownstream(field.Name, field.Value, drop)
	})
	return x.w.WriteInformational(status, x.safeReason(status, reason), fields)
}

// upstreamFailure returns the problem for an error of sendUpstream, of Config.PassThrough, or of the body of a response.
func (x *exchange) upstreamFailure(err error) *problem.Problem {
	p, isProblem := errors.AsType[*problem.Problem](err)
	switch {
	case x.r.Gone():
		return errClientClosed
	case x.body.failed.Load():
		return errBrokenBody
	case isProblem && x.upstream != nil:
		return p
	case x.upstream == nil && (errors.Is(err, neterr.ErrAddressRefused) || errors.Is(err, neterr.ErrLoop)):
		return errPassHostAddressRefused
	case x.upstream == nil: // the request passes through
		p = neterr.Describe("the host", err)
		p.Title = "The host could not be reached"
		return p
	}
	p = neterr.Describe("the API at "+x.upstream.host, err)
	p.Title = "The API could not be reached"
	if p.Status == http.StatusGatewayTimeout {
		p.Title = "The API did not answer in time"
	}
	return p
}

// upstream is an API, with its own client and so its own connections.
type upstream struct {
	client        RoundTripper
	host          string              // for the Host field
	canonicalHost string              // of the host: see access.CanonicalHost
	baseURL       string              // with which links begin
	links         *linkrewrite.Origin // nil if links are not rewritten
}

func (p *Proxy) newUpstream(api *url.URL, client RoundTripper) *upstream {
	u := &upstream{client: client, host: api.Host, canonicalHost: access.CanonicalHost(api.Host), baseURL: api.Scheme + "://" + api.Host}
	if p.config.RewriteLinks {
		u.links = linkrewrite.NewOrigin(u.baseURL)
	}
	return u
}

// origin identifies an API: RFC 6454 section 4.
type origin struct{ scheme, host string }

func upstreamKeyOf(api *url.URL) origin { return origin{api.Scheme, strings.ToLower(api.Host)} }

// upstreamOf returns the API that a token is for; nil means Config.Upstream. A request is sent where this says and nowhere else,
// so a token does not reach another API, whatever the account's settings have become since.
func (p *Proxy) upstreamOf(api *url.URL) *upstream {
	if api == nil {
		api = p.config.Upstream
	}
	key := upstreamKeyOf(api)
	if u := (*p.upstreams.Load())[key]; u != nil {
		return u
	}
	p.upstreamsMu.Lock()
	defer p.upstreamsMu.Unlock()
	known := *p.upstreams.Load()
	if u := known[key]; u != nil {
		return u
	}
	known = maps.Clone(known)
	known[key] = p.newUpstream(api, p.config.NewUpstreamClient(api))
	p.upstreams.Store(&known)
	return known[key]
}
