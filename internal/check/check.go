// Package check diagnoses why the broker does not work. It sends a token request for each account, and a request to the API,
// through the broker's own clients. From the events of their connections (package httptrace) and from the responses it tells
// the cause of a failure and what to do.
//
// Its output is for terminals and tickets. It contains no secret, and of a peer's own words only a few names, which are
// sanitized: see redactor.
package check

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"etrusted-broker/tokensource"
)

// Config configures a check.
type Config struct {
	// Configuration is the step that the caller has run. If it failed, it is the only step.
	Configuration Step
	// Login and API are the servers that the broker uses.
	Login, API Server
	// Proxy returns the proxy of a request to them: http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Audience and Scopes are those of the token request. CustomAudience reports that the audience is not the default.
	Audience       string
	CustomAudience bool
	Scopes         []string
	// Accounts are tested with one token request each.
	Accounts []Account
	// Files are those that the broker reads.
	Files []File
	// OtherReaders returns who besides the broker can read a file, and the command that prevents it; empty if no others can.
	OtherReaders func(path string) (readers, repair string)
	// Last are more steps, which run at the end.
	Last []Probe
	// AppURL is the address for apps, and Curl a command that uses it; empty if they are not known.
	AppURL, Curl string
	// UserAgent is sent to the servers.
	UserAgent string
	// Timeout limits each request with its connection, and each other step. It must be positive.
	Timeout time.Duration
	// OnStep, if not nil, is called with each step as soon as it has ended, by one goroutine at a time.
	OnStep func(Step)
}

// Server is one that the broker sends requests to.
type Server struct {
	Name     string // in the output: "login server"
	Variable string // contains the URL
	URL      *url.URL
	// Transport is the broker's client.
	Transport http.RoundTripper
	// Standard reports that the URL is the default, so that it contains no typing error.
	Standard bool
	// Intended is the URL that was probably meant, if URL looks like a typing error.
	Intended string
	// Cause is reported if the server itself is the cause of a failure.
	Cause Cause
}

// Account is a named pair of credentials.
type Account struct {
	Name        string
	Credentials tokensource.CredentialSource
}

// Probe is a step that the caller provides.
type Probe struct {
	Name, Target string
	// Run returns the result, with Passed or Failed. nil means that the step is skipped, for the reason in Skipped.
	Run     func(context.Context) Step
	Skipped string
}

// checker is a check in progress.
type checker struct {
	Config
	redact     redactor
	pairs      map[string]*tokensource.Credentials // by account; those that the files step could read
	login, api *peer
	report     Report
}

// Run runs all steps and returns the report. Once ctx is done it returns soon, and the report says that it was interrupted.
func Run(ctx context.Context, config Config) Report {
	c := &checker{Config: config, pairs: map[string]*tokensource.Credentials{}, report: Report{Steps: []Step{}, Accounts: []AccountReport{}}}
	if c.OnStep == nil {
		c.OnStep = func(Step) {}
	}
	c.record(config.Configuration)
	if config.Configuration.Status != StatusFailed {
		c.checkFiles(ctx)
		c.checkServers(ctx)
		for _, probe := range c.Last {
			c.runProbe(ctx, probe)
		}
	}
	c.summarize(ctx)
	return c.report
}

// checkServers requests a token for each account, and the channels that the account can see, one account after the other. If
// there are no credentials or no token, a request without them tests the connection.
func (c *checker) checkServers(ctx context.Context) {
	c.login, c.api = c.newPeer(ctx, c.Login), c.newPeer(ctx, c.API)
	if len(c.pairs) == 0 {
		c.login.probe()
		c.checkClock(ctx)
	}
	for _, account := range c.Accounts {
		report := AccountReport{Account: account.Name, Audience: []string{}, Scopes: []string{}, Roles: []string{}}
		authorization := c.checkToken(ctx, account, &report)
		c.checkChannels(ctx, account.Name, authorization, &report)
		c.report.Accounts = append(c.report.Accounts, report)
	}
	c.api.probe()
}
