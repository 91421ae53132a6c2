package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"etrusted-broker/internal/server"
)

// runCommand starts a broker, waits for its token, and runs COMMAND with variables that lead it to the broker.
func runCommand(ctx context.Context, i *invocation) error {
	flags := i.flags()
	var options runOptions
	options.register(flags)
	switch err := i.parseFlags(flags); {
	case err != nil:
		return err
	case options.intercept && options.demo:
		return exitError{exitUsageOrConfig, "-intercept cannot be used with -demo: hard-coded URLs would lead to the real eTrusted"}
	case flags.NArg() == 0:
		return exitError{exitUsageOrConfig, fmt.Sprintf("there is no COMMAND: '%s -h' shows the flags, which come before it", flags.Name())}
	}
	waiting, stopWaiting := signal.NotifyContext(ctx, signalsCaughtByRun...)
	defer stopWaiting() // until then, a signal must not end this process before COMMAND
	command := newChildEnvWithoutSecrets(i.environ)
	log := i.stderr
	if options.logFile != "" {
		file, err := os.OpenFile(options.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // every line was written already
		log = file
	} else if command.get("BROKER_LOG_LEVEL") == "" {
		i.environ = append(i.environ, "BROKER_LOG_LEVEL=warn")
	}
	if options.demo {
		url, stop, err := startFakeETrusted(ctx)
		if err != nil {
			return err
		}
		defer stop()
		i.environ = demoEnvironment(i.environ, url)
	}
	if options.intercept {
		dir, err := os.MkdirTemp("", "etrusted-broker-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // at worst, it stays
		i.environ = append(i.environ, "BROKER_INTERCEPT_CA_DIR="+dir)
		if command.get("BROKER_PASS_HOSTS") == "" {
			i.environ = append(i.environ, "BROKER_PASS_HOSTS=*") // COMMAND may use other hosts too
		}
	}
	i.environ = append(i.environ, "BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0", "BROKER_INTERCEPT_LISTEN=",
		"BROKER_TLS_CERT_FILE=", "BROKER_TLS_KEY_FILE=", "BROKER_TLS_CLIENT_CA_FILE=") // COMMAND is on this machine, and need not trust a certificate
	c, err := i.loadConfig()
	switch {
	case err != nil:
		return err
	case options.intercept && c.RequiresAuthentication():
		return exitError{exitUsageOrConfig, "-intercept cannot be used with an access key, which COMMAND cannot send to its proxy"}
	}
	serving := *i
	serving.stderr = log
	listening, ended := make(chan server.Listeners, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { ended <- serving.serve(ctx, c, nil, func(l server.Listeners) { listening <- l }) })
	defer running.Wait() // until the requests in flight have ended
	defer stop()
	var listeners server.Listeners
	select {
	case err := <-ended:
		return err
	case listeners = <-listening:
	}
	switch err := waitReady(waiting, listeners.Admin.Addr().String(), options.timeout); {
	case waiting.Err() != nil:
		return exitError{code: exitFailure} // the sender of the signal knows why
	case err != nil:
		return err
	}
	url := server.ConnectionInfoWithoutKey(c, listeners.App[0]).URL
	command.set(url, "ETRUSTED_API_URL")
	command.set(url+"/oauth/token", "ETRUSTED_TOKEN_URL")
	if options.intercept {
		if err := command.useProxy(listeners.App[0].Addr(), c.InterceptCADir); err != nil {
			return err
		}
	}
	return i.runChild(flags.Args(), command.environ)
}

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

// runChild runs a command with the streams of this process and forwards signals to it. Its error has the command's exit code.
func (i invocation) runChild(args, environ []string) error {
	command := exec.Command(args[0], args[1:]...) //nolint:gosec // the user's command is what the user wants to run
	command.Env, command.Stdin, command.Stdout, command.Stderr = environ, os.Stdin, i.stdout, i.stderr
	signals := make(chan os.Signal, 8)
	defer close(signals)
	signal.Notify(signals, signalsCaughtByRun...)
	defer signal.Stop(signals)
	switch err := command.Start(); {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return exitError{127, err.Error()} // as in a shell
	case err != nil:
		return exitError{126, err.Error()}
	}
	go func() {
		for received := range signals {
			if !terminalSentToChildToo(received) {
				_ = command.Process.Signal(received) // it may just have ended
			}
		}
	}()
	_ = command.Wait() // the state has the result
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError{code: 128 + int(status.Signal())}
	}
	return exitError{code: command.ProcessState.ExitCode()}
}
