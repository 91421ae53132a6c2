// bench measures the broker beside what people would use in its place, in one run and on one machine: README.md says how
// to run it and how to read what it writes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/upstream"
)

func main() {
	if err, ok := runAsChild(os.Args[1:]); ok {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// runAsChild runs one of the bench's own processes, if that is what was asked for.
func runAsChild(args []string) (err error, ok bool) {
	if len(args) != 1 {
		return nil, false
	}
	switch args[0] {
	case upstream.Role:
		return upstream.Main(os.Stdin, os.Stdout), true
	case load.Role:
		return load.Main(os.Stdin, os.Stdout), true
	default:
		return nil, false
	}
}

// run is the bench. What it is at goes to stderr, the table to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	b, err := newBench(ctx, o, stderr)
	if err == nil {
		err = b.run(ctx, stdout)
		b.close()
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted; all that it started is stopped")
		return 1
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}
