package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// TokenSource provides the access token of one account. Its methods are safe for concurrent use.
type TokenSource interface {
	// Current returns the value of the Authorization field, the only API that it may be sent to (nil: Config.Upstream), and
	// true; or false if there is no valid token. It must not block: it is called for every request.
	Current() (authorization string, api *url.URL, ok bool)
	// Wait waits for what Current returns, until ctx is done at most. An error that is a *problem.Problem is sent to the app.
	Wait(ctx context.Context) (authorization string, api *url.URL, err error)
	// Invalidate marks a token that the API refused before its expiry. It reports whether WaitNewer can return another.
	Invalidate(authorization string) bool
	// WaitNewer waits for a value other than old, and its API, until ctx is done. It fails earlier if there will be none soon.
	WaitNewer(ctx context.Context, old string) (authorization string, api *url.URL, err error)
	// MarkAccepted is called if the API has accepted the value that WaitNewer returned.
	MarkAccepted(authorization string)
}

// RoundTripper sends requests to the API, such as a *http1.Client. It is safe for concurrent use.
type RoundTripper interface {
	// RoundTrip returns the final response, whose body must be closed. An error that is a *problem.Problem is sent to the app.
	RoundTrip(*http1.ClientRequest) (*http1.ClientResponse, error)
}

// PassThrough reaches the hosts whose requests and tunnels pass through. It is safe for concurrent use. The error of either
// method wraps neterr.ErrAddressRefused or neterr.ErrLoop if the broker does not connect to the address of the host.
type PassThrough interface {
	// Dial opens a connection to a target, HOST:PORT.
	Dial(ctx context.Context, target string) (net.Conn, error)
	// RoundTrip sends a request to a server, of whose URL only scheme, host and port count, over a connection for this request
	// only. It may change the request. The body of the response must be closed.
	RoundTrip(server *url.URL, r *http1.ClientRequest) (*http1.ClientResponse, error)
}

// Config configures a Proxy. Fields are required unless their comment says otherwise.
type Config struct {
	// Upstream is the API's base URL: scheme and host, without a path.
	Upstream *url.URL
	// UpstreamClient sends the requests to the API.
	UpstreamClient RoundTripper
	// NewUpstreamClient returns the client for another API. AccountOf returns the account for a request that names none, but an
	// API by its host (see access.CanonicalHost): the caller's first account, or else the only one of those that it may use whose
	// API has that host; false without one. Both are nil if all tokens are for Upstream.
	NewUpstreamClient func(api *url.URL) RoundTripper
	AccountOf         func(apiHost string, caller *access.Caller) (account string, ok bool)
	// Tokens returns the tokens of an account, and false if it does not exist. The default account is the empty name.
	Tokens func(account string) (TokenSource, bool)
	// TokenWait is how long a request waits if there is no token.
	TokenWait time.Duration
	// Policy decides which requests are allowed.
	Policy *access.Policy
	// ClientTrusted, if not nil, reports whether the client certificate of a request's connection is still trusted.
	ClientTrusted func(*http1.Request) bool
	// Identities, if not nil, returns the identities of the client of a request's connection: see access.Request.
	Identities func(*http1.Request) []string
	// TokenEndpoint means that the app's own token requests get a placeholder token. Otherwise they are forwarded.
	TokenEndpoint bool
	// RewriteLinks replaces the API's base URL in responses with the URL that the client used. ExternalScheme is the
	// scheme of that URL, http or https, if the request does not have it.
	RewriteLinks   bool
	ExternalScheme string
	// TunnelTLS returns the TLS configuration for the end of a tunnel to a target. It is required if Policy allows tunnels.
	TunnelTLS func(target string) *tls.Config
	// PassThrough is required if Policy has PassHosts.
	PassThrough PassThrough
	// Retry means that a request is sent once more, with a newer token, after a 401. RetryBuffer is the largest
	// body, in bytes, that is kept for that.
	Retry       bool
	RetryBuffer int64
	// RequestID, if not nil, returns an ID for a request without X-Request-Id. It is sent to the API and recorded.
	RequestID func() string
	// OnRequestEnd, if not nil, is called after each request, on its goroutine.
	OnRequestEnd func(RequestRecord)
}

// validate returns what would make requests panic, or be sent to the wrong place.
func (c *Config) validate() error {
	switch {
	case c.Upstream == nil || c.Upstream.Host == "" || c.Upstream.Scheme != "http" && c.Upstream.Scheme != "https":
		return errors.New("proxy: Upstream must be an http or https URL with a host")
	case (c.NewUpstreamClient == nil) != (c.AccountOf == nil):
		return errors.New("proxy: NewUpstreamClient and AccountOf need each other")
	case c.UpstreamClient == nil:
		return errors.New("proxy: UpstreamClient is missing")
	case c.Tokens == nil:
		return errors.New("proxy: Tokens is missing")
	case c.Policy == nil:
		return errors.New("proxy: Policy is missing")
	case c.Policy.TunnelAllowed != nil && c.TunnelTLS == nil:
		return errors.New("proxy: Policy allows tunnels, but TunnelTLS is missing")
	case c.Policy.PassHosts != nil && c.PassThrough == nil:
		return errors.New("proxy: Policy has PassHosts, but PassThrough is missing")
	case c.RewriteLinks && c.ExternalScheme != "http" && c.ExternalScheme != "https":
		return errors.New("proxy: ExternalScheme must be http or https")
	case c.RetryBuffer < 0:
		return errors.New("proxy: RetryBuffer is negative")
	default:
		return nil
	}
}
