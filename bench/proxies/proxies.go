// Package proxies defines the proxies that the benchmark compares: how to get each program, and how to configure it. All do
// the same job: add the token and forward requests to the API over TLS, on persistent connections. Each is configured as its
// own documentation recommends, verifies the API's certificate, and writes no access log.
package proxies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
	"etrusted-broker/bench/upstream"
)

// Proxy is a program in one configuration.
type Proxy struct {
	Name string
	// Note describes the configuration in a few words, for the results.
	Note string
	// Slow proxies get a quarter of the requests. Otherwise a round would take too long.
	Slow bool
	// MemoryOnly limits the measurements to memory and start-up time: in everything else the proxy equals another one.
	MemoryOnly bool
	// KeepAliveOnly limits the measurements under load to that over keep-alive connections.
	KeepAliveOnly bool
	// Prepare builds the program or finds the installed one. Its error says what to install.
	Prepare func(context.Context, Dirs) (Program, error)
}

// Program is a proxy's program, ready to start.
type Program struct {
	Version string
	Files   []string // all files of the program, the executable first
	command func(RunConfig) (proc.Command, error)
}

// Dirs are the directories that Prepare uses.
type Dirs struct {
	Temp     string // deleted after the run
	Cache    string // kept between runs
	Bench    string // this module
	Broker   string // the module of the broker
	Baseline string // the module of the broker in another checkout
}

// RunConfig is the configuration of one process of a proxy.
type RunConfig struct {
	Dir         string // the process's own directory, for its configuration and its files
	Listen      string // HOST:PORT for the app
	AdminListen string // HOST:PORT for metrics and the like
	API         upstream.Endpoint
}

// Start starts the program. It does not wait until the program accepts requests.
func (p Program) Start(c RunConfig) (*proc.Group, error) {
	command, err := p.command(c)
	if err != nil {
		return nil, err
	}
	command.Path, command.Dir = p.Files[0], c.Dir
	command.Env = append(command.Env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+c.Dir)
	return proc.Start(command)
}

// Size returns the total size of the program's files in bytes.
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

// All returns the proxies in the order of the tables.
func All() []Proxy {
	return []Proxy{Naive, Nginx, HAProxy, Caddy, Skipper, Baseline, BaselineOverHTTP2, Broker, BrokerOverHTTP2, BrokerWithLinks, BrokerWithSystemCAs}
}

// environment returns the variables for a program that fetches tokens itself: the API, the token endpoint and the credentials.
// The program trusts only the API's CA, like the proxies that have a setting for it. Without these variables a Go program would
// load all of the system's CAs too.
func (c RunConfig) environment() []string {
	return []string{
		"ETRUSTED_API_URL=" + c.API.URL,
		"ETRUSTED_TOKEN_URL=" + c.API.TokenURL,
		"ETRUSTED_CLIENT_ID=" + upstream.ClientID,
		"ETRUSTED_CLIENT_SECRET=" + upstream.ClientSecret,
		"ETRUSTED_AUDIENCE=" + upstream.Audience,
		"SSL_CERT_FILE=" + c.API.CAFile,
		"SSL_CERT_DIR=" + c.Dir, // contains no certificates
	}
}

// writeConfig writes a configuration file to Dir, and replaces the {PLACEHOLDERS} in its text.
func (c RunConfig) writeConfig(name, text string) (path string, err error) {
	path = filepath.Join(c.Dir, name)
	text = strings.NewReplacer(
		"{DIR}", c.Dir, "{LISTEN}", c.Listen,
		"{API}", c.API.Host, "{API_NAME}", upstream.ServerName, "{CA_FILE}", c.API.CAFile,
		"{TOKEN}", c.API.Token, "{TOKEN_PATH}", strings.TrimPrefix(c.API.TokenURL, c.API.URL),
		"{FORM}", tokenForm,
	).Replace(text)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// tokenForm is the body of a token request.
var tokenForm = "grant_type=client_credentials&client_id=" + upstream.ClientID + "&client_secret=" + upstream.ClientSecret +
	"&audience=" + upstream.Audience

// findExecutable finds a program in the directories where Debian installs programs, because not all of them are in every user's
// PATH. Its error names the packages to install.
func findExecutable(name, packages string) (string, error) {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New("not installed: apt-get install " + packages)
}
