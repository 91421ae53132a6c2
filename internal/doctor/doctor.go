// Package doctor finds out why the broker does not work, or that it does. It takes the way that a request takes, one
// step after the other, and says of the first that does not go who is at fault and what to do.
//
// What it tells is made for a terminal and a ticket, so nothing in it is secret, and nothing in it is a peer's own words
// but for a few names, which are cleaned: see keeper.
package doctor

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"

	"etrusted-broker/tokensource"
)

// Config tells what there is to be examined.
type Config struct {
	// Configuration is the step that the caller has done: with a fault in it, nothing else is looked at.
	Configuration Step
	// Login and API are the servers that the broker talks to.
	Login, API Server
	// Audience and Scopes are those of the token request.
	Audience string
	Scopes   []string
	// Accounts are those that a token is asked for, one request each.
	Accounts []Account
	// Store is where the token is shared; nil if it is not.
	Store *Store
	// Files are those that the broker reads, and OpenToOthers reports whether every user of this machine may read one,
	// with its mode.
	Files        []File
	OpenToOthers func(path string) (fs.FileMode, bool)
	// App and Admin are where the broker is to listen; Admin is nil if it is turned off.
	App   Listener
	Admin *Listener
	// Transport is the broker's own: its proxy, its dialer and its authorities are the ones that count.
	Transport *http.Transport
	// Resolver looks host names up; nil is the system's.
	Resolver *net.Resolver
	// UserAgent names this program to the servers.
	UserAgent string
	// Timeout is for each step. It must be positive.
	Timeout time.Duration
	// Tell, if not nil, is told of each step as soon as it has ended.
	Tell func(Step)
}

// Server is one that the broker talks to.
type Server struct {
	Name     string // as it is called in the output: "login server"
	Variable string // that holds its URL
	URL      *url.URL
	// Standard means that the URL is eTrusted's own, so that there is no typing error in it.
	Standard bool
	// Fault is what it counts as if the server itself is to blame.
	Fault Fault
}

// Account is one that has credentials of its own.
type Account struct {
	Name   string
	Origin tokensource.CredentialSource
}

// File is one that the broker reads.
type File struct {
	Path   string
	Secret bool // so that nobody else should be able to read it
	// Authorities means that TLS reads it, whatever it is.
	Authorities bool
}

// examination is one that is under way.
type examination struct {
	Config
	keep   keeper
	wrong  map[string]bool // files that cannot be read, or that reading might never come to an end of
	report Report
	// endless is the file of authorities, if that is a pipe: TLS would open it, and nothing would end that.
	endless string
}

// Examine takes all steps and returns what came of them. It ends soon after ctx is done, and says so.
func Examine(ctx context.Context, config Config) Report {
	e := &examination{Config: config, wrong: map[string]bool{}, report: Report{Steps: []Step{}, Accounts: []AccountReport{}}}
	if e.Tell == nil {
		e.Tell = func(Step) {}
	}
	e.told(config.Configuration)
	if config.Configuration.Status == Failed {
		return e.concluded(ctx)
	}
	e.files(ctx)
	e.keepSecrets()
	login, api := e.reach(ctx, config.Login), e.reach(ctx, config.API)
	e.accounts(ctx, login, api)
	e.store(ctx)
	e.listeners(ctx)
	return e.concluded(ctx)
}

// keepSecrets learns what is to be kept.
func (e *examination) keepSecrets() {
	for _, account := range e.Accounts {
		if !e.isReadable(account) {
			continue
		}
		// What cannot be read is not there to be kept. The token's step says so.
		if pair, err := account.Origin.Read(); err == nil {
			e.keep.add(pair.ID.Reveal())
			e.keep.add(pair.Secret.Reveal())
		}
	}
}

// isReadable reports whether the files of an account have been found to be so.
func (e *examination) isReadable(account Account) bool {
	return !e.wrong[account.Origin.ID.File] && !e.wrong[account.Origin.Secret.File]
}
