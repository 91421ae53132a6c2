// Package check diagnoses why the broker does not work. It tests each step of a request, from the configuration to the
// API's response, and reports the cause of a failure and what to do.
//
// Its output is for terminals and tickets. It contains no secret, and of a peer's own words only a few names, which are
// sanitized: see redactor.
package check

import (
	"context"
	"io/fs"
	"net"
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
	// Audience and Scopes are those of the token request.
	Audience string
	Scopes   []string
	// Accounts are tested with one token request each.
	Accounts []Account
	// Store is the shared token store; nil without one.
	Store *Store
	// Files are those that the broker reads.
	Files []File
	// WorldReadable reports whether every user of this machine can read a file, and its mode.
	WorldReadable func(path string) (fs.FileMode, bool)
	// App and Admin are the broker's listeners; Admin is nil if it is turned off.
	App   ListenAddress
	Admin *ListenAddress
	// Transport has the broker's own proxy, dialer and CA certificates.
	Transport *http.Transport
	// Resolver resolves host names; nil means the system's.
	Resolver *net.Resolver
	// UserAgent is sent to the servers.
	UserAgent string
	// Timeout limits each step. It must be positive.
	Timeout time.Duration
	// OnStep, if not nil, is called with each step as soon as it has ended.
	OnStep func(Step)
}

// Server is one that the broker sends requests to.
type Server struct {
	Name     string // in the output: "login server"
	Variable string // contains the URL
	URL      *url.URL
	// Standard reports that the URL is the default, so that it contains no typing error.
	Standard bool
	// Cause is reported if the server itself is the cause of a failure.
	Cause Cause
}

// Account is a named pair of credentials.
type Account struct {
	Name        string
	Credentials tokensource.CredentialSource
}

// File is one that the broker reads.
type File struct {
	Path   string
	Secret bool // should not be world-readable
	// CABundle reports that crypto/tls opens the file, whatever type it has.
	CABundle bool
}

// checker is a check in progress.
type checker struct {
	Config
	redact     redactor
	unreadable map[string]bool // files that cannot be read, or whose reading might block
	report     Report
	// blockingCAFile is the CA bundle if it is a pipe: crypto/tls would open it and block for ever.
	blockingCAFile string
	login, api     *dateRecorder
	clockChecked   bool
	// skipToken and skipChannels say why no more requests are sent to that server; empty if they are.
	skipToken, skipChannels string
}

// Run runs all steps and returns the report. Once ctx is done it returns soon, and the report says that it was interrupted.
func Run(ctx context.Context, config Config) Report {
	c := &checker{Config: config, unreadable: map[string]bool{}, report: Report{Steps: []Step{}, Accounts: []AccountReport{}}}
	if c.OnStep == nil {
		c.OnStep = func(Step) {}
	}
	c.recordStep(config.Configuration)
	if config.Configuration.Status == StatusFailed {
		return c.finishReport(ctx)
	}
	c.checkFiles(ctx)
	c.collectSecrets()
	loginOpen, apiOpen := c.checkConnection(ctx, config.Login), c.checkConnection(ctx, config.API)
	c.checkAccounts(ctx, loginOpen, apiOpen)
	c.checkStore(ctx)
	c.checkListeners(ctx)
	return c.finishReport(ctx)
}

// collectSecrets registers the credentials with the redactor.
func (c *checker) collectSecrets() {
	for _, account := range c.Accounts {
		if !c.isReadable(account) {
			continue
		}
		// Credentials that cannot be read are reported by the token step.
		if pair, err := account.Credentials.Read(); err == nil {
			c.redact.addSecret(pair.ID.Reveal())
			c.redact.addSecret(pair.Secret.Reveal())
		}
	}
}

// isReadable reports whether the files step could read the account's files.
func (c *checker) isReadable(account Account) bool {
	return !c.unreadable[account.Credentials.ID.File] && !c.unreadable[account.Credentials.Secret.File]
}
