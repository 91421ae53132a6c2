// Package check diagnoses why the broker does not work. It sends a token request for each account, and a request to the API,
// through the broker's own clients. From the events of their connections (package httptrace) and from the responses it derives
// the cause of a failure and what to do.
//
// Its output is for terminals and tickets. It contains no secret, and of a peer's own words only a few names, which are
// sanitized: see redactor.
package check

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"etrusted-broker/tokensource"
)

// Config configures a check.
type Config struct {
	// Configuration is the result of the first step, which the caller ran from Began on. If it failed, it is the only step.
	Configuration Step
	Began         time.Time
	// Login and API are the servers that the broker uses.
	Login, API ServerToTest
	// OwnServer returns the server that an account has in place of general. It is required if a file contains its own URL of one.
	OwnServer func(general ServerToTest, own *url.URL, file string) ServerToTest
	// Proxy returns the proxy of a request to them: http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Audience and Scopes are for token requests, unless an account has its own. CustomAudience: Audience is not the default.
	Audience       string
	CustomAudience bool
	Scopes         []string
	// Accounts are tested with one token request each.
	Accounts []AccountToTest
	// Files are those that the broker reads.
	Files []FileToTest
	// OtherReaders returns who besides the broker can read a file, and the command that prevents it; empty if no others can.
	OtherReaders func(path string) (readers, repair string)
	// ExtraSteps run at the end.
	ExtraSteps []ExtraStep
	// AppURL is the address for apps, and Curl a command that uses it; empty if they are not known.
	AppURL, Curl string
	// UserAgent is sent to the servers.
	UserAgent string
	// Timeout limits each request with its connection, and each other step. It must be positive.
	Timeout time.Duration
	// OnStep, if not nil, is called with each step as soon as it has ended, by one goroutine at a time.
	OnStep func(Step)
}

// ServerToTest is one that the broker sends requests to.
type ServerToTest struct {
	Name     string // in the output: "login server"
	Variable string // contains the URL
	URL      *url.URL
	// Transport is the broker's client.
	Transport http.RoundTripper
	// Intended is the URL that was probably meant, if URL looks like a typing error.
	Intended string
	// Cause is reported if the server itself is the cause of a failure, and OtherServer if another one answers in its place: the
	// configuration, or the network if URL is the default.
	Cause, OtherServer Cause
}

// AccountToTest is a named pair of credentials.
type AccountToTest struct {
	Name        string
	Credentials tokensource.CredentialSource
}

// ExtraStep is a step that the caller provides.
type ExtraStep struct {
	Name, Target string
	// Run returns the result: Passed, Failed or Skipped.
	Run func(context.Context) Step
}

// checker is a check in progress.
type checker struct {
	Config
	interrupted func() bool // whether the context of Run is done
	redact      redactor
	sets        map[string]tokensource.CredentialsAndEnvironment // by account; those that the files step could read
	probes      map[string]*serverProbe                          // by name and URL; those that an account uses
	login, api  *serverProbe                                     // of the account that is checked
	report      Report
}

// Run runs all steps and returns the report. Once ctx is done it returns soon, and the report says that it was interrupted.
func Run(ctx context.Context, config Config) Report {
	c := &checker{
		Config:      config,
		interrupted: func() bool { return ctx.Err() != nil },
		sets:        map[string]tokensource.CredentialsAndEnvironment{},
		probes:      map[string]*serverProbe{},
		report:      Report{Causes: []Cause{}, Steps: []Step{}, Accounts: []AccountReport{}},
	}
	if c.OnStep == nil {
		c.OnStep = func(Step) {}
	}
	c.finishStep(Step{Name: "configuration"}, config.Began, config.Configuration)
	if config.Configuration.Cause == "" {
		c.checkFiles()
		c.checkServers(ctx)
		for _, extra := range c.ExtraSteps {
			limited, cancel := context.WithTimeout(ctx, c.Timeout)
			began := time.Now()
			c.finishStep(Step{Name: extra.Name, Target: extra.Target}, began, extra.Run(limited))
			cancel()
		}
	}
	c.summarize()
	return c.report
}

// checkServers requests a token for each account, and the channels that the account can see, one account after the other. If
// there are no credentials or no token, a request without them tests the connection.
func (c *checker) checkServers(ctx context.Context) {
	if len(c.sets) == 0 {
		c.probeFor(c.Login).testConnection(ctx)
	}
	for _, account := range c.Accounts {
		c.selectServers(account)
		report := AccountReport{Account: account.Name, Audience: []string{}, Scopes: []string{}, Roles: []string{}}
		authorization := c.checkToken(ctx, account, &report)
		c.checkChannels(ctx, account, authorization, &report)
		c.report.Accounts = append(c.report.Accounts, report)
	}
	if len(c.Accounts) == 0 {
		c.probeFor(c.API).testConnection(ctx)
	}
}

// selectServers sets the servers for the steps of an account. Each server's connection is tested once.
func (c *checker) selectServers(account AccountToTest) {
	login, api, own := c.Login, c.API, c.sets[account.Name].Environment
	if at, err := url.Parse(own.TokenURL); err == nil && own.TokenURL != "" {
		login = c.OwnServer(login, at, filepath.Join(account.Credentials.EnvironmentDir, "token_url"))
	}
	if own.API != nil {
		api = c.OwnServer(api, own.API, filepath.Join(account.Credentials.EnvironmentDir, "api_url"))
	}
	c.login, c.api = c.probeFor(login), c.probeFor(api)
}
