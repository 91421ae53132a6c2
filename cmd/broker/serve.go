package main

import (
	"context"
	"errors"
)

func serveCommand(ctx context.Context, i invocation) int {
	c, ok := i.configured()
	if !ok {
		return exitConfig
	}
	return i.serve(ctx, c, func(listeners) {})
}

// serve runs the broker until ctx is done. It calls onListening once connections are accepted.
func (i invocation) serve(ctx context.Context, c config, onListening func(listeners)) int {
	err := runServer(ctx, c, serverOptions{
		build:       Build{version, revision},
		log:         i.stderr,
		environ:     i.environ,
		onListening: onListening,
	})
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(configError)):
		return exitConfig
	default:
		return exitFailure
	}
}
