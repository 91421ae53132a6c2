package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/printable"
)

func isHelpFlag(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help"
}

func printUsage(w io.Writer, program string) {
	printLine(w, `etrusted-broker: local gateway to the eTrusted API. Apps call it instead of https://api.etrusted.com; it adds the access token.

Usage: %s [COMMAND]

Commands:`, program)
	for _, c := range commands() {
		printLine(w, "  %-8s %s", c.name, c.summary)
	}
	printLine(w, `
Flags of every command:
  -env-file FILE
        before or after the command: read variables from FILE, NAME=value, one a line, in the syntax of systemd's EnvironmentFile=.
        They replace those of the environment. On a host with the package, check, config, status, allow, wait and health use the
        service's variables if no other is set.

Environment:`)
	for _, v := range config.Variables() {
		line := "  " + v.Name
		if v.Fallback != "" {
			line += "  (default " + v.Fallback + ")"
		}
		printLine(w, "%s\n        %s", line, v.Help)
	}
	printLine(w, `  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE
        as usual; on Windows and macOS the certificate store of the system counts instead of SSL_CERT_FILE
  GOMEMLIMIT, GOMAXPROCS
        as for every Go program: memory limit (112MiB of 128), number of cores

Exit codes: 0 success, 1 failure while running, 2 configuration error. run: COMMAND's code, 126 or 127 if it cannot be run, 128 + N after signal N.`)
}

func configCommand(_ context.Context, i *invocation) error {
	if err := i.announcePackageVariables(); err != nil {
		return err
	}
	c, problems := config.Load(i.environ)
	i.nameSources(c.Settings)
	problems = append(problems, c.LateFiles...)
	table := tabwriter.NewWriter(i.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VARIABLE\tVALUE\tSOURCE\tMEANING")
	for _, s := range c.Settings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, printable.Escape(s.Value, math.MaxInt), s.Source, s.Meaning)
	}
	_ = table.Flush()
	for _, warning := range c.IneffectiveVariables {
		printLine(i.stderr, "%s: warning: %s", i.program, warning)
	}
	return i.printProblems(problems)
}
