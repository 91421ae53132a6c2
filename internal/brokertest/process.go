package brokertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// WithProgram calls run with the path of the broker's program, for TestMain. That is BROKER_BINARY, or else a new one, which it
// builds in the directory of the broker's module and deletes at the end. It returns the exit code.
func WithProgram(module string, run func(path string) (code int)) int {
	if path := os.Getenv("BROKER_BINARY"); path != "" {
		return run(path)
	}
	dir, err := os.MkdirTemp("", "broker-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "broker.exe") // Windows insists on the extension
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/broker")
	build.Dir = module
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	return run(path)
}

// Process is a program that runs until the test ends.
type Process struct {
	Cmd    *exec.Cmd
	Output *LogBuffer    // what it has written to standard output and standard error
	Ended  chan struct{} // closed once it has ended, with the result in Cmd.ProcessState

	t *testing.T
}

// StartProcess starts a command. The end of the test kills it. If the test has failed, it prints the output, without the lines
// that match noise.
func StartProcess(t *testing.T, cmd *exec.Cmd, noise *regexp.Regexp) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, Output: &LogBuffer{}, Ended: make(chan struct{}), t: t}
	cmd.Stdout, cmd.Stderr = p.Output, p.Output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if !t.Failed() {
			return
		}
		var lines strings.Builder
		for line := range strings.Lines(p.Output.String()) {
			if noise == nil || !noise.MatchString(line) {
				lines.WriteString(line)
			}
		}
		t.Logf("output of %q:\n%s", cmd.Args, &lines)
	})
	return p
}

// Kill ends the process like a crash, unless it has ended already.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Ended
}

// Wait waits until the process has ended, and returns its exit code, or -1 if a signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(Timeout):
		p.t.Fatalf("%q has not ended after %v", p.Cmd.Args, Timeout)
	}
	return p.Cmd.ProcessState.ExitCode()
}
