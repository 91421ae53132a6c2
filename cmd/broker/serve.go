package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
)

func serveCommand(ctx context.Context, i *invocation) error {
	c, err := i.loadConfig()
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	return i.serve(ctx, c, hangups, func(server.Listeners) {})
}

// serve runs the broker until ctx is done. It reads the files at once after each of the signals, and calls onListening once
// connections are accepted. The error is an exitError: it was logged.
func (i invocation) serve(ctx context.Context, c config.Config, reload <-chan os.Signal, onListening func(server.Listeners)) error {
	err := server.Run(ctx, c, server.Options{
		Build:       server.Build{Version: version, Revision: revision},
		Log:         i.stderr,
		OnListening: onListening,
		Reload:      reload,
	})
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(config.Error)):
		return exitError{code: exitUsageOrConfig}
	default:
		return exitError{code: exitFailure}
	}
}
