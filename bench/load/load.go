// Package load sends requests, from a process of its own. Closed load asks how much a contender can take and what it
// costs: a number of connections, each with its next request as soon as the last is answered. Open load asks how long an
// app waits: requests come at a fixed rate whether or not earlier ones have been answered, so a contender that stalls
// cannot slow the clock that measures it.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"etrusted-broker/bench/child"
)

// Role is the argument that starts the load generator's process.
const Role = "as-load"

// Target is what requests are sent to.
type Target struct {
	URL string
	// Authorization is what an app sends that stands before the API itself; empty before a contender.
	Authorization string `json:",omitempty"`
	// CAFile is that of the authority to trust, for https.
	CAFile string `json:",omitempty"`
}

// Closed describes a closed load.
type Closed struct {
	Target
	Path        string
	Body        int // bytes of a POST's body; without one it is a GET
	Connections int
	WarmUp      int // requests before those that count
	Requests    int
	// Fresh opens a connection for each request, and closes it after the answer, as PHP's curl does.
	Fresh bool
	// InTurn warms up one connection after the other, so that no more than one is busy at a time.
	InTurn bool
}

// Open describes an open load.
type Open struct {
	Target
	Path    string
	Rate    int // requests a second
	Lasting time.Duration
	Timeout time.Duration
}

// Tally is what came of a closed load.
type Tally struct {
	Requests int
	Failed   int
	Why      string // of the first that failed
	Lasted   time.Duration
}

// Request is one of an open load.
type Request struct {
	Began  time.Time
	Took   time.Duration
	Failed bool
	Why    string `json:",omitempty"` // it failed
}

// Running is a closed load that has warmed up, and whose connections are open.
type Running struct{ child *child.Child }

// Begin opens a closed load's connections and sends the requests that warm up.
func Begin(ctx context.Context, c Closed) (*Running, error) {
	process, err := child.Start(ctx, Role)
	if err != nil {
		return nil, err
	}
	if err := process.Call(order{Closed: &c}, &struct{}{}); err != nil {
		process.Close()
		return nil, err
	}
	return &Running{process}, nil
}

// Go sends the requests that count. The connections stay open after them.
func (r *Running) Go() (Tally, error) {
	var tally Tally
	return tally, r.child.Call(order{}, &tally)
}

// Close closes the connections.
func (r *Running) Close() { r.child.Close() }

// Send runs an open load to its end.
func Send(ctx context.Context, o Open) ([]Request, error) {
	process, err := child.Start(ctx, Role)
	if err != nil {
		return nil, err
	}
	defer process.Close()
	var requests []Request
	return requests, process.Call(order{Open: &o}, &requests)
}

// order is what the process is told: to prepare a closed load, to run an open one, or, if empty, to go.
type order struct {
	Closed *Closed `json:",omitempty"`
	Open   *Open   `json:",omitempty"`
}

// Main is the load generator's process.
func Main(input io.Reader, output io.Writer) error {
	decoder, encoder := json.NewDecoder(input), json.NewEncoder(output)
	var prepared *closed
	for {
		err := child.Serve(decoder, encoder, func(o order) (any, error) {
			switch {
			case o.Open != nil:
				return send(*o.Open)
			case o.Closed != nil:
				var err error
				prepared, err = prepare(*o.Closed)
				return struct{}{}, err
			case prepared != nil:
				return prepared.run(prepared.Requests), nil
			default:
				return nil, errors.New("nothing is prepared")
			}
		})
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
