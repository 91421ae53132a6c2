// Package contender knows what the bench compares: for each program where it comes from and how it is made to do the one
// job, which is to pass requests on to the API over TLS, on connections that are kept, with the token attached. Each is
// configured as its own documentation advises for that, checks the API's certificate, and writes no access log.
package contender

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
	"etrusted-broker/bench/upstream"
)

// Contender is one program in one configuration.
type Contender struct {
	Name string
	// Note says in a few words what the reader of a table should know of its configuration.
	Note string
	// Slow has the bench send it a quarter of the requests, or a round would be a wait for it.
	Slow bool
	// Resting has the bench look at its memory and its start alone: in all else it is as another.
	Resting bool
	// Find builds the program, or looks for it. Its error says what to install.
	Find func(context.Context, Workshop) (Program, error)
}

// Program is one that can be started.
type Program struct {
	Version string
	Files   []string // that the program consists of, the executable first
	command func(Place) (proc.Command, error)
}

// Workshop is where programs are built.
type Workshop struct {
	Folder string // temporary
	Cache  string // kept between runs
	Bench  string // the folder of the bench's module
	Broker string // the folder of the broker's
	Before string // the folder of another state of it
}

// Place is where a program is to run.
type Place struct {
	Folder string // of its own, for its configuration and what it writes
	Listen string // HOST:PORT
	Spare  string // another, for what it serves beside
	API    upstream.Address
}

// Start starts the program. It does not wait until it serves.
func (p Program) Start(at Place) (*proc.Group, error) {
	command, err := p.command(at)
	if err != nil {
		return nil, err
	}
	command.Path, command.Dir = p.Files[0], at.Folder
	command.Env = append(command.Env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+at.Folder)
	return proc.Start(command)
}

// Size is that of its files, in bytes.
func (p Program) Size() (int64, error) {
	var sum int64
	for _, file := range p.Files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

// All returns the contenders.
func All() []Contender {
	return []Contender{Naive, Nginx, HAProxy, Caddy, Skipper, Before, Broker, BrokerLinks, BrokerSystem}
}

// environment leads a program that fetches tokens itself to the API and its token endpoint. It trusts the API's authority
// alone, as those do that are told so in a configuration: Go's programs would read all of the system's roots besides.
func (at Place) environment() []string {
	return []string{
		"ETRUSTED_API_URL=" + at.API.URL,
		"ETRUSTED_TOKEN_URL=" + at.API.TokenURL,
		"ETRUSTED_CLIENT_ID=" + upstream.ClientID,
		"ETRUSTED_CLIENT_SECRET=" + upstream.ClientSecret,
		"ETRUSTED_AUDIENCE=" + upstream.Audience,
		"SSL_CERT_FILE=" + at.API.CAFile,
		"SSL_CERT_DIR=" + at.Folder, // which holds none
	}
}

// write puts a configuration into the place's folder, with the place's names filled in.
func (at Place) write(name, text string) (path string, err error) {
	path = filepath.Join(at.Folder, name)
	text = strings.NewReplacer(
		"{FOLDER}", at.Folder, "{LISTEN}", at.Listen, "{SPARE}", at.Spare,
		"{API}", at.API.Host, "{API_NAME}", upstream.ServerName, "{CA_FILE}", at.API.CAFile,
		"{TOKEN}", at.API.Token, "{TOKEN_PATH}", strings.TrimPrefix(at.API.TokenURL, at.API.URL),
		"{FORM}", form,
	).Replace(text)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// form is a token request's body.
var form = "grant_type=client_credentials&client_id=" + upstream.ClientID + "&client_secret=" + upstream.ClientSecret +
	"&audience=" + upstream.Audience

// findDebian looks for a program where Debian puts it: not always in the PATH of a user.
func findDebian(name, install string) (string, error) {
	for _, folder := range []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"} {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New("not installed: apt-get install " + install)
}
