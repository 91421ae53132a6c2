// Command broker takes OAuth out of the apps that use the eTrusted API: see the README.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	// The broker does not end when the reader of its log does, nor when an operator asks it to read its files again (see
	// serveCommand). These signals have a handler because a child would inherit that they are ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGHUP)
	command, _ := splitCommandOrServe(os.Args[1:])
	// run forwards signals. Windows sends a service one when a user logs off, which must not end it.
	if command != "run" && command != "service" {
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		if command == "demo" || isUnixTerminal(os.Stderr) {
			signal.Notify(signals, syscall.SIGHUP) // the terminal is gone
		}
		go func() {
			<-signals
			cancel()
			<-signals // a second signal ends the program at once
			os.Exit(exitFailure)
		}()
	}
	for _, name := range config.ProxyAndCAVariableNames() { // as config.EnvironToMap does
		if value := os.Getenv(name); strings.HasSuffix(value, "\r") {
			_ = os.Setenv(name, strings.TrimSuffix(value, "\r"))
		}
	}
	environ := os.Environ()
	harden.Process(config.SecretVariableNames())
	harden.LowerGoMemoryLimitToCgroup()
	os.Exit(run(ctx, filepath.Base(os.Args[0]), os.Args[1:], environ, os.Stdout, os.Stderr))
}
