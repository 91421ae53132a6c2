// Package proxy is the way of a request: from the app, through the door, given the token, to the API, and back.
//
// It is a gateway in the sense of RFC 9110 section 3.7. ServeHTTP has the steps in the order in which a request meets
// them. The standard library's ReverseProxy is not used: it re-encodes paths and queries, where an API's client must be
// able to rely on what it sends arriving byte for byte.
package proxy

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
	"etrusted-broker/proxy/wire"
)

// TokenSource is where the access token comes from.
type TokenSource interface {
	// Current returns the value for the Authorization header, and true; or false where there is none. It must not
	// block: it is called for every request.
	Current() (authorization string, ok bool)
	// Wait returns what Current returns, once there is a token. It fails at the latest when ctx is done. Its error may
	// be a NoToken, which says what to do.
	Wait(ctx context.Context) (authorization string, err error)
	// Invalidate tells that the API refused a token before its time, given the header's value that was sent. It
	// reports whether another is to be had, now or by WaitNewer.
	Invalidate(authorization string) bool
	// WaitNewer returns a value for the Authorization header other than old, once there is one. It fails if there will
	// be none soon, and at the latest when ctx is done.
	WaitNewer(ctx context.Context, old string) (authorization string, err error)
}

// TokenError is what an error of Tokens.Wait may tell beyond its text. None of it may hold a secret.
type TokenError interface {
	error
	// Advice says what to do, in whole sentences.
	Advice() string
	// RetryAfter is when another request may fare better.
	RetryAfter() time.Duration
	// Rejected reports whether the credentials are at fault.
	Rejected() bool
}

// Config tells what a Proxy needs. All fields are required but those that say otherwise.
type Config struct {
	// Upstream is the API's base URL: scheme and host, without a path.
	Upstream *url.URL
	// Transport carries the requests to it. It must not decompress, and no transport follows redirects.
	Transport http.RoundTripper
	// Tokens are those of the default account; nil if there is none. Account returns those of an account with a name,
	// or false if there is none; it may be nil.
	Tokens  TokenSource
	Account func(name string) (TokenSource, bool)
	// TokenWait is maximum wait of a request while there is no token.
	TokenWait time.Duration
	Policy    *access.Policy
	// TokenEndpoint answers the app's own token requests; nil if they go to the API as any other.
	TokenEndpoint *tokenendpoint.Endpoint
	// RewriteLinks has the upstream's address in responses rewritten to the one that the app used. Scheme is what that begins
	// with where a request does not tell: http or https.
	RewriteLinks   bool
	ExternalScheme string
	// Tunnels take over the connections that the Door lets CONNECT open; not used if it lets none.
	Tunnels Tunnels
	// Retry has a request sent again, once, after a 401 to a token that has since been replaced. ReplayBuffer is how
	// many bytes of a body are kept for that; a request with a longer one is not sent again.
	Retry       bool
	RetryBuffer int64
	// RequestID, if not nil, makes a name for a request that bears none (X-Request-Id), by which it is then known to the
	// API and in reports.
	RequestID func() string
	// OnRequestEnd, if not nil, is told of each request when it has ended. It is called on the request's own goroutine.
	OnRequestEnd func(RequestRecord)
}

// RequestRecord tells of a request that has ended.
type RequestRecord struct {
	// Account is whose token was asked for: DefaultAccount, or the name of an account that exists; empty if the request
	// did not get that far.
	Account string
	Method  string // as the app sent it: any token
	// Path is as the app sent it, percent-encoded and so plain ASCII, without the query, which may hold personal data.
	Path string
	// RequestID is by what the app or Config.RequestID calls it, 128 bytes of that at the most; empty if neither does.
	RequestID string
	// TraceID is that of the traceparent header (W3C Trace Context) that the app sent: 32 lower-case hexadecimal digits;
	// empty if there was none that is valid.
	TraceID string
	// Status is what the app was sent, or StatusClientGone.
	Status int
	// Denied is why the door refused the request; empty if it did not.
	Denied access.Reason
	// Problem is the RFC 9209 error type of a response that the broker made itself; empty for the API's responses.
	Problem string
	// Retry is what came of sending the request again; empty if there was no occasion to.
	Retry RetryOutcome
	// Bytes are those of the response's body that the app was sent.
	Bytes int64
	// Broken reports that a response was begun but could not be finished.
	Broken bool
	// Duration is from the request's header read to the response's end; Upstream is the part of it from the request
	// sent to the response's header received, 0 if the request was not sent.
	Duration, Upstream time.Duration
}

// countBody counts a body that was written at once. A client that is gone needs no answer, and one that asked for the head alone
// (RFC 9110 section 9.3.2) gets none of it, though net/http says that it was written.
func (r *RequestRecord) countBody(n int, _ error) {
	if r.Method != http.MethodHead {
		r.Bytes += int64(n)
	}
}

// DefaultAccount is what reports call the account that has no name.
const DefaultAccount = "default"

// StatusClientClosedRequest stands in reports for a client that went away before it was answered. No such response exists.
const StatusClientClosedRequest = 499

// Proxy is the handler for the app's listener. Create it with New.
type Proxy struct {
	config   Config
	base     string // Config.Upstream, as links begin with it
	inFlight atomic.Int64
}

// New returns a Proxy.
func New(config Config) *Proxy {
	if config.OnRequestEnd == nil {
		config.OnRequestEnd = func(RequestRecord) {}
	}
	return &Proxy{config: config, base: config.Upstream.Scheme + "://" + config.Upstream.Host}
}

// InFlight is the number of requests that are being served.
func (p *Proxy) InFlight() int64 { return p.inFlight.Load() }

// ServeHTTP serves one request of the app.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	began := time.Now()
	report := RequestRecord{Method: r.Method, Path: r.URL.EscapedPath(), RequestID: p.requestID(r), TraceID: traceID(r.Header)}
	defer func() { // also when a broken response ends in a panic
		report.Duration = time.Since(began)
		p.config.OnRequestEnd(report)
	}()

	// May it come in, and what does it ask for?
	if r.Method == http.MethodConnect {
		p.connect(w, r, &report)
		return
	}
	asked, problem := p.admit(r)
	if problem != nil {
		problem.answer(w, &report)
		return
	}
	if asked.isTokenRequest {
		p.serveToken(w, r, asked, &report)
		return
	}

	// Whose token does it go with?
	tokens, problem := p.tokenSource(asked)
	if problem != nil {
		problem.answer(w, &report)
		return
	}
	report.Account = cmp.Or(asked.account, DefaultAccount)
	target, ok := p.upstreamURL(asked.target)
	if !ok {
		badTarget.answer(w, &report)
		return
	}

	// There, and back.
	x := &roundTrip{proxy: p, w: w, r: r, target: target, tokens: tokens, links: p.newLinkRewriter(r, asked), body: &requestBody{from: r}, record: &report}
	defer x.body.finish()
	response, problem := x.do()
	x.body.closeIfUnread(w.Header())
	if problem != nil {
		problem.answer(w, &report)
		return
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or given up
	x.links.rewriteResponse(r.Method, response)
	relay(w, r, response, &report)
}

// route is what a request asks for.
type route struct {
	account        string
	hasAccount     bool   // whether it names one
	accountPrefix  string // the part of the path that names the account; empty if that is named elsewhere, or none is
	target         string // path and query as the app sent them, without the account
	isTokenRequest bool   // it is a token request, to be answered here
}

// admit lets a request in, or says why not.
func (p *Proxy) admit(r *http.Request) (route, *problem) {
	if fault := wire.FaultOf(r); fault != nil {
		return route{}, malformed(fault)
	}
	if refusal := p.config.Policy.Check(r); refusal != nil {
		return route{}, refused(refusal)
	}
	if isLoop(r.Header) {
		return route{}, loopDetected
	}
	raw, ok := requestTarget(r)
	if !ok {
		return route{}, badTarget
	}
	if refusal := access.CheckTarget(raw); refusal != nil {
		return route{}, refused(refusal)
	}
	a := p.parseRoute(r, raw)
	if refusal := p.checkUse(r, a); refusal != nil {
		return route{}, refused(refusal)
	}
	return a, nil
}

// parseRoute takes a target apart.
func (p *Proxy) parseRoute(r *http.Request, raw string) (a route) {
	a.account, a.target, a.hasAccount = splitAccount(raw)
	if a.hasAccount {
		a.accountPrefix = "/@" + a.account
	}
	if p.config.TokenEndpoint == nil {
		return a
	}
	path, _, _ := strings.Cut(a.target, "?")
	a.isTokenRequest = tokenendpoint.Matches(r.Method, path)
	if token, ok := placeholderToken(r.Header); ok && !a.hasAccount && token.Account != "" {
		a.account, a.hasAccount = token.Account, true
	}
	return a
}

// checkUse returns why what a request asks for may not be had, or nil if it may. A token request shows the access key in
// a way of its own, and none of the API is used by it.
func (p *Proxy) checkUse(r *http.Request, a route) *access.Refusal {
	if a.isTokenRequest {
		return nil
	}
	if refusal := p.config.Policy.CheckKey(r); refusal != nil {
		return refusal
	}
	if p.config.Policy.TargetsLoginServer(r) {
		return access.DeniedLogin
	}
	return p.config.Policy.CheckRules(r, a.target)
}

// tokenSource returns those of the account that a request names, or of the default account if it names none.
func (p *Proxy) tokenSource(a route) (TokenSource, *problem) {
	if !a.hasAccount {
		if p.config.Tokens == nil {
			return nil, noDefaultAccount
		}
		return p.config.Tokens, nil
	}
	if a.account != "" && p.config.Account != nil {
		if tokens, ok := p.config.Account(a.account); ok {
			return tokens, nil
		}
	}
	return nil, unknownAccount
}
