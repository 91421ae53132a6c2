package doctor

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
	"strings"
	"time"
)

// Listener is an address at which the broker is to listen.
type Listener struct {
	Name     string // as it is called in the output: "app's listener"
	Variable string // that holds its address
	Shown    string // the address as it is configured
	// Network and Address are where to connect to; an empty Address means that any free port is meant.
	Network, Address string
	// Secure means that the broker is to speak TLS there, and WantsCertificate that an app is to show one.
	Secure, WantsCertificate bool
	// Try finds out whether the broker could listen there, without leaving a trace. mayBeTaken means that somebody may be
	// there, whom it is worth to ask. The error says why it could not, and holds no secret.
	Try func(context.Context) (mayBeTaken bool, err error)
}

// impossible is the path of an account that cannot be: names have no capital letters. Most requests to an app's listener
// would go on to the API; this one the broker itself answers, and without a token.
const impossible = "/@BROKER-CHECK/"

const (
	// neighbourTimeout is for a program on this machine.
	neighbourTimeout = 3 * time.Second
	// maxStatus bounds what is read of its answer. An account takes up to 15 kB, when each minute of its last hour has a token
	// request, so this is room for a thousand.
	maxStatus = 16 << 20
)

// listeners are the last steps: whether another broker is there already changes nothing of what was found before.
func (e *examination) listeners(ctx context.Context) {
	e.listener(ctx, e.App, askProxy)
	if e.Admin == nil {
		e.skip(ctx, Step{Name: "admin listener"}, "turned off, since BROKER_ADMIN_LISTEN is empty")
		return
	}
	if e.Admin.Address != "" && e.Admin.Network == e.App.Network && e.Admin.Address == e.App.Address {
		e.step(ctx, Step{Name: e.Admin.Name, Target: e.Admin.Shown}, func(context.Context) finding {
			return finding{
				text:   e.Admin.Shown + " is the app's listener's already: " + e.App.Variable + " and " + e.Admin.Variable + " lead to one port",
				fault:  Configuration,
				advice: "Set one of them to another port.",
			}
		})
		return
	}
	e.listener(ctx, *e.Admin, e.askStatus)
}

// question asks whoever listens what it is. It reports false if that is no broker.
type question func(context.Context, Listener) (broker string, ok bool)

// listener tells whether an address is free, and if not, whether it is a broker that has it.
func (e *examination) listener(ctx context.Context, l Listener, ask question) {
	e.step(ctx, Step{Name: l.Name, Target: l.Shown}, func(ctx context.Context) finding {
		if l.Address == "" {
			return fine("any port that is free will do")
		}
		ctx, cancel := context.WithTimeout(ctx, min(e.Timeout, neighbourTimeout))
		defer cancel()
		mayBeTaken, problem := l.Try(ctx)
		if mayBeTaken {
			conn, err := new(net.Dialer).DialContext(ctx, l.Network, l.Address)
			switch {
			case err == nil:
				_ = conn.Close() // the question has a connection of its own
				return neighbour(ctx, l, ask)
			case errors.Is(err, fs.ErrPermission):
				return finding{text: l.Shown + " may not be connected to by this user", fault: Machine, advice: "Let this user write to the socket and go through the folders above it, or run the check as the user that runs the app."}
			}
		}
		if problem != nil {
			return finding{text: problem.Error(), fault: Machine, advice: "Put that right, or set " + l.Variable + " to an address of this machine that is free."}
		}
		return fine(l.Shown + " is free")
	})
}

// neighbour finds out who listens.
func neighbour(ctx context.Context, l Listener, ask question) finding {
	if broker, ok := ask(ctx, l); ok {
		return fine(broker)
	}
	return finding{
		text:   "another program listens on " + l.Shown + " already, or a broker that is configured otherwise",
		fault:  Machine,
		advice: fmt.Sprintf("End that program ('ss -ltnp' and 'ss -lxp' tell which it is), or set %s to another address.", l.Variable),
	}
}

// askStatus asks an admin listener.
func (e *examination) askStatus(ctx context.Context, l Listener) (broker string, ok bool) {
	said, err := ask(ctx, l, "/status.json")
	var status struct {
		Version  string          `json:"version"`
		Ready    *bool           `json:"ready"`
		Reason   string          `json:"not_ready_reason"`
		Accounts json.RawMessage `json:"accounts"`
	}
	if err != nil || said.status != http.StatusOK || json.Unmarshal(said.body, &status) != nil || status.Version == "" || status.Ready == nil || status.Accounts == nil {
		return "", false
	}
	broker = fmt.Sprintf("a broker (version %s) listens there already, and is ", e.keep.name(status.Version))
	if *status.Ready {
		return broker + "ready", true
	}
	return broker + "not ready: " + e.keep.sentence(status.Reason), true
}

// askProxy asks an app's listener.
func askProxy(ctx context.Context, l Listener) (broker string, ok bool) {
	said, err := ask(ctx, l, impossible)
	switch {
	case err != nil && l.WantsCertificate && isAlert(err):
		return "something listens there already that asks for a client certificate, as the broker would", true
	case err != nil:
		return "", false
	}
	name, _, _ := strings.Cut(said.header.Get("Proxy-Status"), ";") // RFC 9209 section 2
	return "a broker listens there already", name == "etrusted-broker"
}

// isAlert reports whether the other side refused the TLS handshake.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// reply is what a neighbour says.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask asks whoever listens one question. Nothing that is secret is in it.
func ask(ctx context.Context, l Listener, path string) (reply, error) {
	transport := &http.Transport{ // without a proxy: what is asked is next door
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, l.Network, l.Address)
		},
		//nolint:gosec // G402: who it is that listens is the question, and whoever it is is told nothing.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	scheme, host := "http", l.Address
	if l.Secure {
		scheme = "https"
	}
	if l.Network == "unix" {
		host = "localhost"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+path, nil)
	if err != nil {
		return reply{}, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }() // one question, one answer
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	return reply{response.StatusCode, response.Header, body}, err
}
