package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
)

const runCommandName = "run"

// The exit codes of the command run if COMMAND cannot be run, as in a shell.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

// runCommand starts a broker, waits for its token, runs COMMAND with variables that lead it to the broker, and returns COMMAND's
// exit code.
func runCommand(ctx context.Context, i invocation) int {
	flags := i.flags(runCommandName)
	var options runOptions
	options.register(flags)
	code, ok := i.parseFlags(flags)
	switch {
	case !ok:
		return code
	case options.intercept && options.demo:
		printLine(i.stderr, "%s: -intercept cannot be used with -demo: hard-coded URLs would lead to the real eTrusted", flags.Name())
		return exitConfig
	case flags.NArg() == 0:
		printLine(i.stderr, "%s: there is no COMMAND: '%[1]s -h' shows the flags, which come before it", flags.Name())
		return exitConfig
	}
	fail := func(err error) int {
		printLine(i.stderr, "%s: %v", flags.Name(), err)
		return exitFailure
	}
	waiting, stopWaiting := signal.NotifyContext(ctx, forwardedSignals...)
	defer stopWaiting() // until then, a signal must not end this process before COMMAND
	command := newChildEnv(i.environ)
	log := i.stderr
	if options.logFile != "" {
		file, err := os.OpenFile(options.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fail(err)
		}
		defer func() { _ = file.Close() }() // every line was written already
		log = file
	} else if command.get("BROKER_LOG_LEVEL") == "" {
		i.environ = append(i.environ, "BROKER_LOG_LEVEL=warn")
	}
	if options.demo {
		url, stop, err := startFake(ctx)
		if err != nil {
			return fail(err)
		}
		defer stop()
		i.environ = demoEnvironment(i.environ, url)
	}
	if options.intercept {
		dir, err := os.MkdirTemp("", "etrusted-broker-")
		if err != nil {
			return fail(err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // at worst, it stays
		i.environ = append(i.environ, "BROKER_INTERCEPT_CA_DIR="+dir)
		if command.get("BROKER_PASS_HOSTS") == "" {
			i.environ = append(i.environ, "BROKER_PASS_HOSTS=*") // COMMAND may use other hosts too
		}
	}
	i.environ = append(i.environ, "BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0", "BROKER_INTERCEPT_LISTEN=",
		"BROKER_TLS_CERT_FILE=", "BROKER_TLS_KEY_FILE=", "BROKER_TLS_CLIENT_CA_FILE=") // COMMAND is on this machine, and need not trust a certificate
	c, ok := i.loadConfig()
	switch {
	case !ok:
		return exitConfig
	case options.intercept && c.RequiresAuthentication():
		printLine(i.stderr, "%s: -intercept cannot be used with an access key, which COMMAND cannot send to its proxy", flags.Name())
		return exitConfig
	}
	b := i.startBroker(ctx, c, log)
	defer b.stop()
	select {
	case <-b.ended:
		return b.code
	case b.listeners = <-b.listening:
	}
	switch err := waitReady(waiting, b.listeners.Admin.Addr().String(), options.timeout); {
	case waiting.Err() != nil:
		return exitFailure // the sender of the signal knows why
	case err != nil:
		return fail(err)
	}
	url := server.Usage(c, b.listeners.App[0]).URL
	command.set(url, "ETRUSTED_API_URL")
	command.set(url+"/oauth/token", "ETRUSTED_TOKEN_URL")
	if options.intercept {
		if err := command.useProxy(b.listeners.App[0].Addr(), c.InterceptCADir); err != nil {
			return fail(err)
		}
	}
	return i.runChild(flags.Args(), command.environ)
}

// runOptions are the flags of the command run.
type runOptions struct {
	timeout         time.Duration
	intercept, demo bool
	logFile         string
}

func (o *runOptions) register(flags *flag.FlagSet) {
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "maximum wait for the token; then COMMAND is not run")
	flags.BoolVar(&o.intercept, "intercept", false, "also lead COMMAND's requests to https://api.etrusted.com to the broker, as its HTTPS proxy")
	flags.StringVar(&o.logFile, "log", "", "append the broker's log to this `file`; otherwise its warnings go to standard error")
	flags.BoolVar(&o.demo, "demo", false, "use an embedded fake eTrusted: no credentials, no network")
}

// runningBroker is a broker that runs beside COMMAND.
type runningBroker struct {
	cancel    context.CancelFunc
	listening chan server.Listeners
	listeners server.Listeners
	ended     chan struct{}
	code      int // valid once ended is closed
}

func (i invocation) startBroker(ctx context.Context, c config.Config, log io.Writer) *runningBroker {
	ctx, cancel := context.WithCancel(ctx)
	b := &runningBroker{cancel: cancel, listening: make(chan server.Listeners, 1), ended: make(chan struct{})}
	i.stderr = log
	go func() {
		defer close(b.ended)
		b.code = i.serve(ctx, c, nil, func(l server.Listeners) { b.listening <- l })
	}()
	return b
}

// stop ends the broker, after the requests in flight.
func (b *runningBroker) stop() {
	b.cancel()
	<-b.ended
}

// runChild runs a command with the streams of this process, forwards signals to it, and returns its exit code.
func (i invocation) runChild(args, environ []string) int {
	command := exec.Command(args[0], args[1:]...) //nolint:gosec // the user's command is what the user wants to run
	command.Env, command.Stdin, command.Stdout, command.Stderr = environ, os.Stdin, i.stdout, i.stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwardedSignals...)
	defer signal.Stop(signals)
	if err := command.Start(); err != nil {
		printLine(i.stderr, "%s %s: %v", i.program, runCommandName, err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return exitNotFound
		}
		return exitCannotRun
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case received := <-signals:
				if !sentByTerminal(received) {
					_ = command.Process.Signal(received) // it may just have ended
				}
			case <-ended:
				return
			}
		}
	}()
	_ = command.Wait() // the state has the result
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()) // as a shell does
	}
	return command.ProcessState.ExitCode()
}
