package main

import (
	"context"
	"fmt"
	"io"

	"etrusted-broker/internal/config"
)

// The exit codes of every command.
const (
	exitOK      = 0
	exitFailure = 1 // a failure while running
	exitConfig  = 2 // a configuration error, or a command line that is not understood
)

// cli has the arguments, environment and output of a command.
type cli struct {
	program        string   // the name by which the program was called, for messages
	args           []string // after the command's name
	environ        []string // as os.Environ returns it
	stdout, stderr io.Writer
}

// command is a command of the program.
type command struct {
	name, summary string
	run           func(context.Context, cli) int
}

func commands() []command {
	all := []command{
		{"serve", "run the broker, configured by the environment (also without a command)", serveCommand},
		{"demo", "run the broker in front of an embedded fake eTrusted: no credentials, no network", demoCommand},
		{"check", "test every step from the configuration to a first request; -json, -timeout 10s", checkCommand},
		{"wait", "wait until the broker is ready, for start scripts; -timeout 30s", waitCommand},
		{"health", "exit with 0 if the broker runs: a health check that needs no shell", healthCommand},
		{"ca", "print the broker's CA certificate and how to make an app trust it: see BROKER_INTERCEPT_CA_DIR", caCommand},
		{"config", "print every variable with its effective value, its source and its meaning", configCommand},
		{"version", "print version, revision and Go version", versionCommand},
	}
	for i, command := range all {
		if command.name != "wait" && command.name != "check" {
			all[i].run = withoutArguments(command.name, command.run)
		}
	}
	return all
}

// run is the program without the process: it returns the exit code. program is the name by which it was called. When ctx is
// done, run ends after the requests in flight.
func run(ctx context.Context, program string, args, environ []string, stdout, stderr io.Writer) int {
	name := "serve"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if isHelp(name) || name == "help" {
		usage(stdout, program)
		return exitOK
	}
	for _, command := range commands() {
		if command.name == name {
			return command.run(ctx, cli{program, args, environ, stdout, stderr})
		}
	}
	printf(stderr, "%[1]s: there is no command %[2]q; '%[1]s -h' lists them", program, name)
	return exitConfig
}

// withoutArguments wraps a command that takes no arguments.
func withoutArguments(name string, command func(context.Context, cli) int) func(context.Context, cli) int {
	return func(ctx context.Context, i cli) int {
		switch {
		case len(i.args) == 0:
			return command(ctx, i)
		case isHelp(i.args[0]):
			usage(i.stdout, i.program)
			return exitOK
		default:
			printf(i.stderr, "%[1]s %[2]s: takes no arguments; it is configured by environment variables, see '%[1]s -h'", i.program, name)
			return exitConfig
		}
	}
}

// printf prints a line. An error is ignored: there is no other place to report it.
func printf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}

// configured loads the configuration for a command that runs the broker, and prints the problems that prevent that.
func (i cli) configured() (config.Config, bool) {
	c, problems := config.Load(i.environ)
	if len(problems) > 0 {
		for _, warning := range config.UnknownVariables(i.environ) { // a misspelt name may explain what is missing
			printf(i.stderr, "%s: warning: %s", i.program, warning)
		}
	}
	i.printErrors(problems)
	return c, len(problems) == 0
}

// printErrors prints the problems of the configuration, if there are any.
func (i cli) printErrors(problems []config.Error) {
	if len(problems) == 0 {
		return
	}
	printf(i.stderr, "%s: invalid configuration:", i.program)
	for _, problem := range problems {
		printf(i.stderr, "  %v", problem)
	}
	printf(i.stderr, "'%[1]s -h' explains each variable, '%[1]s config' shows the current values.", i.program)
}
