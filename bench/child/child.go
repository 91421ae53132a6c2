// Package child runs parts of the benchmark in separate processes, so that the cost of the upstream and of the load generator is
// not counted as the cost of anything else. A child is the benchmark's own executable, started with a role as its argument. It
// reads JSON requests from standard input and writes one JSON reply to each to standard output. It exits when its input ends,
// so also when the benchmark is killed.
package child

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopTimeout limits how long a child may run after its input has ended.
const stopTimeout = 5 * time.Second

// Child is a child process. Its methods must not be called concurrently, except Close.
type Child struct {
	role      string
	command   *exec.Cmd
	input     io.WriteCloser
	encoder   *json.Encoder
	decoder   *json.Decoder
	closeOnce sync.Once
}

// Start starts this executable again, in a role. The child is killed when ctx ends.
func Start(ctx context.Context, role string) (*Child, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Child{role: role, command: exec.CommandContext(ctx, path, role)}
	c.command.Stderr = os.Stderr // only for panics
	// In its own process group a child does not get Ctrl-C: the benchmark handles it, and closes its children last.
	c.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.input, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.encoder, c.decoder = json.NewEncoder(c.input), json.NewDecoder(output)
	return c, c.command.Start()
}

// Call sends a request to the child and stores the result in the value that result points to.
func (c *Child) Call(request, result any) error {
	if err := c.encoder.Encode(request); err != nil {
		return fmt.Errorf("%s: %w", c.role, err)
	}
	var r reply
	if err := c.decoder.Decode(&r); err != nil {
		return fmt.Errorf("%s: %w", c.role, err)
	}
	if r.Error != "" {
		return fmt.Errorf("%s: %s", c.role, r.Error)
	}
	return json.Unmarshal(r.Result, result)
}

// Close ends the child. It may be called more than once.
func (c *Child) Close() {
	c.closeOnce.Do(func() {
		_ = c.input.Close()
		kill := time.AfterFunc(stopTimeout, func() { _ = c.command.Process.Kill() })
		defer kill.Stop()
		_ = c.command.Wait() // the exit status does not matter: Call has already returned any error
	})
}

type reply struct {
	Error  string          `json:",omitempty"`
	Result json.RawMessage `json:",omitempty"`
}

// Serve is the child's side of one Call: it reads a request, and writes the result or the error of handle. It returns io.EOF when
// there are no more requests.
func Serve[Request, Result any](input *json.Decoder, output *json.Encoder, handle func(Request) (Result, error)) error {
	var request Request
	if err := input.Decode(&request); err != nil {
		return err
	}
	var r reply
	result, err := handle(request)
	if err == nil {
		r.Result, err = json.Marshal(result)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return output.Encode(r)
}
