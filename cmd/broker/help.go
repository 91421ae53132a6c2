package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/printable"
)

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help"
}

// usage prints the commands and the variables, as they are declared.
func usage(w io.Writer) {
	say(w, `etrusted-broker: an app talks to it as if it were the eTrusted API, and needs no credentials.

Usage: broker [COMMAND]

Commands:`)
	for _, command := range commands() {
		say(w, "  %-8s %s", command.name, command.summary)
	}
	say(w, "\nEnvironment:")
	for _, v := range variables() {
		line := "  " + v.name
		if v.fallback != "" {
			line += "  (default " + v.fallback + ")"
		}
		say(w, "%s\n        %s", line, v.help)
	}
	say(w, `  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE
        as everywhere
  GOMEMLIMIT, GOMAXPROCS
        as for every Go program: how much memory to stay below (112MiB of a limit of 128), how many cores to use

Exit codes: 0 fine, 1 a failure while running, 2 a configuration error.`)
}

// configCommand prints every variable with its effective value, its source and its meaning.
func configCommand(_ context.Context, i invocation) int {
	c, problems := loadConfig(i.environ)
	table := tabwriter.NewWriter(i.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "VARIABLE\tVALUE\tSOURCE\tMEANING")
	for _, s := range c.settings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, printable.Escape(s.Value, math.MaxInt), s.Source, s.Meaning)
	}
	_ = table.Flush()
	i.complain(problems)
	if len(problems) > 0 {
		return exitConfig
	}
	return exitOK
}

// effective are the variables with their effective values, as they may be seen.
func (c config) effective(set map[string]string, problems []configError) []admin.Setting {
	var all []admin.Setting
	for _, v := range variables() {
		value := c.shown(v)
		if set[v.name] != "" && slices.ContainsFunc(problems, func(p configError) bool { return p.variable == v.name }) {
			value = "(not valid)" // and perhaps a secret that was put into the wrong variable
		}
		all = append(all, admin.Setting{Name: v.name, Value: value, Source: source(v, set), Meaning: v.help})
	}
	return all
}

// source tells where a variable's effective value comes from.
func source(v variable, set map[string]string) string {
	switch value, isSet := set[v.name]; {
	case value != "", isSet && v.name == "BROKER_ADMIN_LISTEN":
		return "environment"
	case set[v.name+"_FILE"] != "":
		return v.name + "_FILE"
	case v.fallback != "":
		return "default"
	default:
		return "-"
	}
}
