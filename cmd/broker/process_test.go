package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// built is the program as it is shipped. Only a process shows what main does with signals and the linker's variables, and what
// the standard library reads from the environment once per process.
var built struct {
	once      sync.Once
	dir, path string
	err       error // with the output of go build in path
}

func TestMain(m *testing.M) {
	code := brokertest.Main(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// buildBroker builds the program, once for all tests, and returns its path.
func buildBroker(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program")
	}
	if runtime.GOOS == "windows" {
		t.Skip("no signals on Windows")
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("/tmp", "broker-test-"); built.err != nil {
			return
		}
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil { // every user may run the program
			return
		}
		built.path = filepath.Join(built.dir, "broker")
		output, err := exec.Command("go", "build", "-buildvcs=false",
			"-ldflags", "-X main.version=1.2.3-test -X main.revision=abcdef", "-o", built.path, ".").CombinedOutput()
		if built.err = err; err != nil {
			built.path = string(output)
		}
	})
	if built.err != nil {
		t.Fatalf("go build: %v\n%s", built.err, built.path)
	}
	return built.path
}

// process is a broker in its own process. Terminate kills it, and Wait returns -1 if a signal has ended it.
type process struct {
	*brokertest.Broker
	command *exec.Cmd
}

// startProcess starts the program, and returns once it listens. The end of the test kills it.
func startProcess(t *testing.T, environ []string) *process {
	t.Helper()
	cmd := exec.Command(buildBroker(t))
	cmd.Env = environ
	return startCommand(t, cmd)
}

// startCommand is startProcess for a command that runs the program.
func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	runCommand := func(ctx context.Context, _, _ []string, _, stderr io.Writer) int {
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return -1
		}
		defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
		_ = cmd.Wait() // ProcessState has the result
		return cmd.ProcessState.ExitCode()
	}
	return &process{brokertest.Start(t, runCommand, nil, nil), cmd}
}

// signal sends a signal to the process.
func (p *process) signal(signal os.Signal) {
	p.T.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.T.Fatal(err)
	}
}

func TestMemoryLimitDecidesConnectionLimit(t *testing.T) {
	t.Parallel()
	b := startProcess(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "GOMEMLIMIT=56MiB"))
	if got := b.Logs.Lines("listening")[0]["max_connections"]; got != 96.0 {
		t.Errorf("got max_connections %v, want 96", got)
	}
}

func TestSignalsShutDownGracefully(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
			if got := brokertest.Get(t, p.URL+"/channels"); got.Status != http.StatusOK {
				t.Errorf("/channels: got status %d, want 200", got.Status)
			}
			p.signal(signal)
			if code := p.Wait(); code != exitOK {
				t.Errorf("got exit code %d, want %d:\n%s", code, exitOK, p.Logs)
			}
			if n := len(p.Logs.Lines("all requests have finished")); n != 1 {
				t.Errorf("got %d lines about the end of all requests, want 1:\n%s", n, p.Logs)
			}
		})
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetAPIFault(fakeetrusted.Hang())
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_SHUTDOWN_GRACE=1h"))
	channels := brokertest.GetAsync(p.URL + "/channels")
	brokertest.Eventually(t, "the request is upstream", func() bool { return eTrusted.APIRequestCount() == 1 })
	p.signal(syscall.SIGTERM)
	brokertest.Eventually(t, "the first signal has arrived", func() bool {
		return strings.Contains(brokertest.Get(t, p.Admin+"/readyz").Body, "shutting down")
	})
	p.signal(syscall.SIGTERM)
	if code := p.Wait(); code == exitOK {
		t.Error("got exit code 0, want another: a request was cut off")
	}
	if got := brokertest.Receive(t, "the end of the request", channels); got.Err == nil {
		t.Errorf("the request: got status %d, want an error", got.Status)
	}
}

func TestPrintsLinkedVersion(t *testing.T) {
	t.Parallel()
	output, err := exec.Command(buildBroker(t), "version").Output()
	if want := "etrusted-broker 1.2.3-test (revision abcdef, " + runtime.Version() + ")\n"; err != nil || string(output) != want {
		t.Errorf("got %q, %v, want %q", output, err, want)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, args := range map[int][]string{exitOK: {"-h"}, exitFailure: {"health"}, exitUsageOrConfig: nil} {
		cmd := exec.Command(buildBroker(t), args...)
		cmd.Env = []string{"BROKER_ADMIN_LISTEN=127.0.0.1:1"}
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("%v: got %v, want exit code %d", args, cmd.ProcessState, want)
		}
	}
}
