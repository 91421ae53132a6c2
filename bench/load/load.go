// Package load is the load generator. It runs in a separate process.
//
// A closed loop measures throughput and cost: each of a number of connections sends its next request when it has the last
// response. An open loop measures latency: requests are sent at a fixed rate, whether or not earlier ones are answered. So
// a proxy that stalls cannot reduce the number of requests that measure the stall.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"etrusted-broker/bench/child"
)

// Role is the command-line argument that starts the load generator's process.
const Role = "as-load"

// Target is the server that gets the requests.
type Target struct {
	URL string
	// Authorization is the value of the Authorization header, for requests to the API itself. Requests to a proxy have none.
	Authorization string `json:",omitempty"`
	// CAFile contains the CA to trust. It is required for https, and empty for http.
	CAFile string `json:",omitempty"`
}

// ClosedLoop describes a load with a fixed number of connections.
type ClosedLoop struct {
	Target
	Path        string
	Body        int // bytes of the body of a POST; 0 means GET
	Connections int
	WarmUp      int // requests before the measurement
	Requests    int
	// NewConnections opens a connection for each request and closes it after the response, as PHP's curl does.
	NewConnections bool
	// Sequential replaces the warm-up by one request per connection, one after the other, so that only one is active at a time.
	Sequential bool
}

// OpenLoop describes a load with a fixed rate.
type OpenLoop struct {
	Target
	Path     string
	Rate     int // requests per second
	Duration time.Duration
	Timeout  time.Duration
}

// Result is the result of a closed loop.
type Result struct {
	Requests   int
	Failed     int
	FirstError string // empty if no request failed
	Duration   time.Duration
}

// Request is the record of one request of an open loop.
type Request struct {
	Start   time.Time
	Latency time.Duration
	Failed  bool
	Error   string `json:",omitempty"` // why it failed
}

// Runner is a process that has opened the connections of a closed loop and has warmed up.
type Runner struct{ child *child.Child }

// StartClosedLoop starts a process, opens the connections and warms up. The caller closes the Runner.
func StartClosedLoop(ctx context.Context, c ClosedLoop) (*Runner, error) {
	process, err := child.Start(ctx, Role)
	if err != nil {
		return nil, err
	}
	if err := process.Call(command{ClosedLoop: &c}, &struct{}{}); err != nil {
		process.Close()
		return nil, err
	}
	return &Runner{process}, nil
}

// Run sends the requests of the measurement. The connections stay open.
func (r *Runner) Run() (Result, error) {
	var result Result
	return result, r.child.Call(command{}, &result)
}

// Close closes the connections and ends the process.
func (r *Runner) Close() { r.child.Close() }

// RunOpenLoop runs an open loop in a new process and returns its requests, in the order of their responses.
func RunOpenLoop(ctx context.Context, o OpenLoop) ([]Request, error) {
	process, err := child.Start(ctx, Role)
	if err != nil {
		return nil, err
	}
	defer process.Close()
	var requests []Request
	return requests, process.Call(command{OpenLoop: &o}, &requests)
}

// command runs an open loop or prepares a closed loop. An empty command runs the closed loop that was prepared.
type command struct {
	ClosedLoop *ClosedLoop `json:",omitempty"`
	OpenLoop   *OpenLoop   `json:",omitempty"`
}

// Main runs the load generator's process until its input ends.
func Main(input io.Reader, output io.Writer) error {
	decoder, encoder := json.NewDecoder(input), json.NewEncoder(output)
	var runner *closedLoopRunner
	for {
		err := child.Serve(decoder, encoder, func(cmd command) (any, error) {
			switch {
			case cmd.OpenLoop != nil:
				return runOpenLoop(*cmd.OpenLoop)
			case cmd.ClosedLoop != nil:
				var err error
				runner, err = newClosedLoopRunner(*cmd.ClosedLoop)
				return struct{}{}, err
			case runner != nil:
				return runner.run(runner.Requests), nil
			default:
				return nil, errors.New("nothing is runner")
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
