// Command broker takes OAuth out of the apps that use the eTrusted API: see the README.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/harden"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	if len(os.Args) < 2 || os.Args[1] != runName { // which forwards signals
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		go func() {
			<-signals
			cancel()
			<-signals // a second signal ends the program at once
			os.Exit(exitFailure)
		}()
	}
	environ := os.Environ()
	harden.Process(config.SecretVariables())
	harden.LimitMemory()
	os.Exit(run(ctx, filepath.Base(os.Args[0]), os.Args[1:], environ, os.Stdout, os.Stderr))
}
