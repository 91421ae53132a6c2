// Package child runs parts of the bench in processes of their own, so that what the upstream and the load generator cost
// is on nobody's account but theirs. A child is the bench's own program, started again with the role as its argument. It
// reads JSON values from its standard input and writes one for each to its standard output, and it ends when its input
// does: also when the bench was killed.
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

// grace is how long a child may take to end once its input has.
const grace = 5 * time.Second

// Child is a running one. It is not for several goroutines at once, but for Close.
type Child struct {
	role    string
	command *exec.Cmd
	input   io.WriteCloser
	encoder *json.Encoder
	decoder *json.Decoder
	closed  sync.Once
}

// Start starts this program again, in a role. The child dies with ctx.
func Start(ctx context.Context, role string) (*Child, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Child{role: role, command: exec.CommandContext(ctx, path, role)}
	c.command.Stderr = os.Stderr // nothing, unless it panics
	// Ctrl-C is the bench's to see: it closes its children when it is done with them.
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

// Call sends a value and reads the answer to it.
func (c *Child) Call(request, answer any) error {
	if err := c.encoder.Encode(request); err != nil {
		return fmt.Errorf("%s: %w", c.role, err)
	}
	var reply reply
	if err := c.decoder.Decode(&reply); err != nil {
		return fmt.Errorf("%s: %w", c.role, err)
	}
	if reply.Error != "" {
		return fmt.Errorf("%s: %s", c.role, reply.Error)
	}
	return json.Unmarshal(reply.Answer, answer)
}

// Close ends the child. It may be called more than once.
func (c *Child) Close() {
	c.closed.Do(func() {
		_ = c.input.Close()
		kill := time.AfterFunc(grace, func() { _ = c.command.Process.Kill() })
		defer kill.Stop()
		_ = c.command.Wait() // how it ended does not matter: it has answered, or Call has told
	})
}

type reply struct {
	Error  string          `json:",omitempty"`
	Answer json.RawMessage `json:",omitempty"`
}

// Serve is the child's side of one Call: it reads a request, and writes what answer makes of it. io.EOF means that the
// bench wants no more.
func Serve[Request, Answer any](input *json.Decoder, output *json.Encoder, answer func(Request) (Answer, error)) error {
	var request Request
	if err := input.Decode(&request); err != nil {
		return err
	}
	var r reply
	value, err := answer(request)
	if err == nil {
		r.Answer, err = json.Marshal(value)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return output.Encode(r)
}
