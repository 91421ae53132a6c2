package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ListenAddress is an address that the broker listens on.
type ListenAddress struct {
	Name     string // in the output: "app's listener"
	Variable string // contains the address
	Display  string // the address as configured, or Variable if the value may be a misplaced secret
	// Network and Address are those to connect to. An empty Address stands for any free port.
	Network, Address string
	// TLS reports that the broker uses TLS there, and RequiresClientCert that clients need a certificate.
	TLS, RequiresClientCert bool
	// Probe checks whether the broker could listen there, and leaves no trace. mayBeTaken reports that a program may be
	// listening, which is then identified. The error says why the broker could not, and contains no secret.
	Probe func(context.Context) (mayBeTaken bool, err error)
}

// url is the address for apps; empty if it is not known: a system-chosen port, all interfaces, or TLS, which needs a name
// from the certificate.
func (l ListenAddress) url() string {
	switch {
	case l.TLS || l.Address == "" || !strings.HasSuffix(l.Display, l.Address):
		return ""
	case l.Network == "unix":
		return l.Display
	default:
		return "http://" + l.Display
	}
}

// probePath names an account that cannot exist: account names have no capital letters. On an app's listener, the broker
// forwards most requests to the API; it answers this one itself, without a token.
const probePath = "/@BROKER-CHECK/"

const (
	// probeTimeout limits a request to a program on this machine.
	probeTimeout = 3 * time.Second
	// maxProbeBody bounds its response, in bytes. An account takes up to 15 kB, with a token request in each minute of the last
	// hour, so this is enough for a thousand.
	maxProbeBody = 16 << 20
)

// checkListeners runs the last steps.
func (c *checker) checkListeners(ctx context.Context) {
	c.checkListener(ctx, c.App, identifyBroker)
	if c.Admin == nil {
		c.skipStep(ctx, Step{Name: "admin listener"}, "turned off: BROKER_ADMIN_LISTEN is empty")
		return
	}
	if c.Admin.Address != "" && c.Admin.Network == c.App.Network && c.Admin.Address == c.App.Address {
		c.runStep(ctx, Step{Name: c.Admin.Name, Target: c.Admin.Display}, func(context.Context) Step {
			return failed(CauseConfiguration, c.App.Variable+" and "+c.Admin.Variable+" use the same port", "Set one of them to another port.")
		})
		return
	}
	c.checkListener(ctx, *c.Admin, c.identifyAdmin)
}

// checkListener runs the step that checks whether an address is free, or in use by a broker. identify describes the broker; it
// returns false if another program listens there.
func (c *checker) checkListener(ctx context.Context, l ListenAddress, identify func(context.Context, ListenAddress) (string, bool)) {
	c.runStep(ctx, Step{Name: l.Name, Target: l.Display}, func(ctx context.Context) Step {
		if l.Address == "" {
			return passed("any free port")
		}
		ctx, cancel := context.WithTimeout(ctx, min(c.Timeout, probeTimeout))
		defer cancel()
		mayBeTaken, problem := l.Probe(ctx)
		if mayBeTaken {
			conn, err := new(net.Dialer).DialContext(ctx, l.Network, l.Address)
			switch {
			case err == nil:
				_ = conn.Close() // identify opens its own connection
				if description, ok := identify(ctx, l); ok {
					return passed(description)
				}
				return failed(CauseMachine, l.Display+" is in use by another program, or by a broker with different settings",
					fmt.Sprintf("Stop that program ('ss -ltnp' and 'ss -lxp' show which one it is), or set %s to another address.", l.Variable))
			case errors.Is(err, fs.ErrPermission):
				return failed(CauseMachine, "this user cannot connect to "+l.Display, "Give this user write access to the socket and search permission for the directories above it, or run the check as the app's user.")
			}
		}
		if problem != nil {
			return failed(CauseMachine, problem.Error(), "Fix that, or set "+l.Variable+" to a free address of this machine.")
		}
		return passed(l.Display + " is free")
	})
}

// identifyAdmin identifies a broker by its /status.json.
func (c *checker) identifyAdmin(ctx context.Context, l ListenAddress) (description string, ok bool) {
	code, _, body, err := getFrom(ctx, l, "/status.json")
	var status struct {
		Version  string          `json:"version"`
		Ready    *bool           `json:"ready"`
		Reason   string          `json:"not_ready_reason"`
		Accounts json.RawMessage `json:"accounts"`
	}
	if err != nil || code != http.StatusOK || json.Unmarshal(body, &status) != nil || status.Version == "" || status.Ready == nil || status.Accounts == nil {
		return "", false
	}
	description = fmt.Sprintf("in use by a broker (version %s), ", c.redact.sanitize(status.Version, hostPunctuation))
	if *status.Ready {
		return description + "ready", true
	}
	return description + "not ready: " + c.redact.sentence(status.Reason), true
}

// identifyBroker identifies a broker by its response to a request for an unknown account.
func identifyBroker(ctx context.Context, l ListenAddress) (description string, ok bool) {
	_, header, _, err := getFrom(ctx, l, probePath)
	switch {
	case err != nil && l.RequiresClientCert && isAlert(err):
		return "in use by a program that requires a client certificate, probably a broker", true
	case err != nil:
		return "", false
	}
	name, _, _ := strings.Cut(header.Get("Proxy-Status"), ";") // RFC 9209 section 2
	return "in use by a broker", name == "etrusted-broker"
}

// isAlert reports whether the peer aborted the TLS handshake with an alert.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// getFrom sends a request, without anything secret, to the program that listens on l.
func getFrom(ctx context.Context, l ListenAddress, path string) (code int, header http.Header, body []byte, err error) {
	transport := &http.Transport{ // without a proxy: the program runs on this machine
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, l.Network, l.Address)
		},
		//nolint:gosec // G402: the peer is unknown, and is sent nothing secret.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	target := &url.URL{Scheme: "http", Host: l.Address, Path: path}
	if l.TLS {
		target.Scheme = "https"
	}
	if l.Network == "unix" {
		target.Host = "localhost"
	}
	request := &http.Request{Method: http.MethodGet, URL: target, Header: http.Header{}}
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }() // the connection is not reused
	body, err = io.ReadAll(io.LimitReader(response.Body, maxProbeBody))
	return response.StatusCode, response.Header, body, err
}
