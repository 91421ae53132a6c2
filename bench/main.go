// bench compares the broker with alternatives, in one run on one machine, or runs a soak test of the broker. README.md explains how
// to run it and what the results mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/soak"
	"etrusted-broker/bench/upstream"
)

func main() {
	if ok, err := runAsChild(os.Args[1:]); ok {
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

// runAsChild runs a child process of the benchmark if args is one of the roles, and reports whether it did.
func runAsChild(args []string) (ok bool, err error) {
	if len(args) != 1 {
		return false, nil
	}
	switch args[0] {
	case upstream.Role:
		return true, upstream.Main(os.Stdin, os.Stdout)
	case load.Role:
		return true, load.Main(os.Stdin, os.Stdout)
	default:
		return false, nil
	}
}

// run runs the benchmark and returns the exit code. Progress goes to stderr, the results to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 2
	}
	if o.soak > 0 {
		err = runSoak(ctx, o, stdout, stderr)
	} else {
		err = runBench(ctx, o, stdout, stderr)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted; all processes are stopped")
		return 1
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// runBench compares the proxies.
func runBench(ctx context.Context, o options, stdout, stderr io.Writer) error {
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	return b.run(ctx, stdout)
}

// runSoak builds the broker and runs the soak test with it.
func runSoak(ctx context.Context, o options, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "etrusted-broker-soak-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "broker")
	if err := proxies.BuildBroker(ctx, o.brokerDir, program); err != nil {
		return err
	}
	for o.seed == 0 {
		o.seed = rand.Uint64()
	}
	return soak.Run(ctx, soak.Config{Broker: program, Dir: dir, Duration: o.soak, Rate: o.soakRate, Seed: o.seed, Progress: stderr}, stdout)
}
