package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"etrusted-broker/internal/config"
)

// The exit codes of every command.
const (
	exitOK            = 0
	exitFailure       = 1 // a failure while running
	exitUsageOrConfig = 2 // a configuration error, or a command line that is not understood
)

// exitError ends a command with an exit code; other errors mean exitFailure. The message is empty if there is nothing more to
// print.
type exitError struct {
	code    int
	message string
}

func (e exitError) Error() string { return e.message }

// invocation has the arguments, environment and output of a command.
type invocation struct {
	program, name  string            // by which the program was called, and of the command
	args           []string          // after the command's name
	environ        []string          // as os.Environ returns it
	envFiles       []string          // that -env-file names
	sources        map[string]string // the file that a variable in environ is from, by its name; those of the environment are missing
	stdout, stderr io.Writer
}

// command is a command of the program. The function run prints the error that the field returns.
type command struct {
	name, summary string
	hasFlags      bool
	run           func(context.Context, *invocation) error
}

func commands() []command {
	return append([]command{
		{"serve", "run the broker, configured by the environment (also without a command)", false, serveCommand},
		{"demo", "run the broker in front of an embedded fake eTrusted: no credentials, no network", false, demoCommand},
		{"check", "test every step from the configuration to a first request; -json, -timeout 10s", true, checkCommand},
		{"run", "start a broker for COMMAND ARGS…, and end with it; -timeout 30s, -intercept, -log FILE, -demo", true, runCommand},
		{"status", "print the state of the running broker in five lines, and what to do if it does not work; -json", true, statusCommand},
		{"allow", "print the BROKER_ALLOW for what apps have used since the running broker started; -caller NAME", true, allowCommand},
		{"wait", "wait until the broker is ready, for start scripts; -timeout 30s", true, waitCommand},
		{"health", "exit with 0 if the broker runs: a health check that needs no shell", false, healthCommand},
		{"ca", "print the broker's CA certificate and how to make an app trust it; -bundle: with the system's CAs", true, caCommand},
		{"config", "print every variable with its effective value, its source and its meaning", false, configCommand},
		{"version", "print version, revision and Go version", false, versionCommand},
	}, platformCommands()...)
}

// run is the program without the process: it returns the exit code. When ctx is done, it ends after the requests in flight.
func run(ctx context.Context, program string, args, environ []string, stdout, stderr io.Writer) int {
	name, args := splitCommandOrServe(args)
	if name == "--version" || name == "-version" {
		name = "version"
	}
	all := commands()
	known := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	switch {
	case isHelpFlag(name), name == "help":
		printUsage(stdout, program)
		return exitOK
	case known < 0:
		printLine(stderr, "%[1]s: there is no command %[2]q; '%[1]s -h' lists them", program, name)
		return exitUsageOrConfig
	case !all[known].hasFlags && len(args) > 0 && isHelpFlag(args[0]):
		printUsage(stdout, program)
		return exitOK
	}
	i := &invocation{program: program, name: name, args: args, environ: environ, stdout: stdout, stderr: stderr}
	if !all[known].hasFlags {
		if err := i.parseNoArgs(i.flags()); err != nil {
			return i.reportError(err)
		}
	}
	return i.reportError(all[known].run(ctx, i))
}

// reportError prints the error of a command, if there is one, and returns the exit code.
func (i *invocation) reportError(err error) int {
	if err == nil {
		return exitOK
	}
	exit, ok := errors.AsType[exitError](err)
	if !ok {
		exit = exitError{exitFailure, err.Error()}
	}
	if exit.message != "" {
		printLine(i.stderr, "%s %s: %s", i.program, i.name, exit.message)
	}
	return exit.code
}

// flags returns the flags that every command has.
func (i *invocation) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(i.program+" "+i.name, flag.ContinueOnError)
	flags.SetOutput(i.stderr)
	i.addEnvFileFlag(flags)
	return flags
}

// parseFlags parses the flags, and reads the files of variables. Its error is an exitError.
func (i *invocation) parseFlags(flags *flag.FlagSet) error {
	switch err := flags.Parse(i.args); {
	case errors.Is(err, flag.ErrHelp):
		return exitError{code: exitOK}
	case err != nil:
		return exitError{code: exitUsageOrConfig} // package flag has printed it
	}
	if err := i.readEnvFiles(); err != nil {
		return exitError{exitUsageOrConfig, err.Error()}
	}
	return nil
}

// parseNoArgs is parseFlags for commands that have no other arguments than flags.
func (i *invocation) parseNoArgs(flags *flag.FlagSet) error {
	if err := i.parseFlags(flags); err != nil || flags.NArg() == 0 {
		return err
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, "-"+f.Name) })
	return exitError{exitUsageOrConfig, fmt.Sprintf("takes no arguments but %s; it is configured by variables, see '%s -h'", strings.Join(names, " and "), i.program)}
}

// printLine prints a line. An error is ignored: there is no other place to report it.
func printLine(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}

// loadConfig loads the configuration to run the broker with. It prints the problems: its error is that of printProblems.
func (i invocation) loadConfig() (config.Config, error) {
	c, problems := config.Load(i.environ)
	i.nameSources(c.Settings)
	if len(problems) > 0 {
		for _, warning := range c.UnknownVariables { // a misspelt name may explain what is missing
			printLine(i.stderr, "%s: warning: %s", i.program, warning)
		}
	}
	return c, i.printProblems(problems)
}

// printProblems prints the problems of the configuration. It returns an exitError if there are any.
func (i invocation) printProblems(problems []config.Error) error {
	if len(problems) == 0 {
		return nil
	}
	printLine(i.stderr, "%s: invalid configuration:", i.program)
	for _, problem := range problems {
		printLine(i.stderr, "  %v [%s]", problem, problem.Code())
	}
	printLine(i.stderr, "'%[1]s -h' explains each variable, '%[1]s config' shows the current values.", i.program)
	return exitError{code: exitUsageOrConfig}
}
