package main

import (
	"context"
	"strings"

	"etrusted-broker/proxy/access"
)

// allowCommand prints the allow list for what apps have used of the API since the start of the running broker.
func allowCommand(ctx context.Context, i invocation) int {
	flags := i.flags("allow")
	caller := flags.String("caller", "", "print only what this caller has used, for its file allow")
	if code, ok := i.parseNoArgs(flags); !ok {
		return code
	}
	status, code := i.runningStatus(ctx, "allow")
	if code != exitOK {
		return code
	}
	list := status.AllowList
	variable, patterns, _ := strings.Cut(list.Line, "=")
	text := list.Line
	if *caller != "" {
		patterns = list.patternsOf(*caller)
		text = strings.ReplaceAll(patterns, ", ", "\n")
	}
	switch {
	case list.Mode == "", list.Line != "" && variable != "BROKER_ALLOW", patterns != "" && !arePatterns(patterns):
		printLine(i.stderr, "%s allow: the admin listener %v", i.program, errOtherProgram)
		return exitFailure
	case patterns == "" && *caller != "":
		printLine(i.stderr, "%s allow: the caller %q has used nothing since the broker started: check the name, or let it work", i.program, *caller)
		return exitFailure
	case patterns == "":
		printLine(i.stderr, "%s allow: nothing was used since the broker started: let the apps work, and try again", i.program)
		return exitFailure
	}
	if list.Evicted > 0 {
		printLine(i.stderr, "%s allow: warning: there were more operations than the broker keeps, so some may be missing: %d", i.program, list.Evicted)
	}
	printLine(i.stdout, "%s", text)
	return exitOK
}

// allowList is the part of /status.json that the command allow uses.
type allowList struct {
	Mode    string // empty in another version
	Line    string
	Callers []struct{ Caller, Patterns string }
	Evicted uint64
}

// patternsOf returns the patterns of a caller; empty if the list has no such caller.
func (l allowList) patternsOf(caller string) string {
	for _, one := range l.Callers {
		if one.Caller == caller {
			return one.Patterns
		}
	}
	return ""
}

// arePatterns reports whether a text consists of patterns like those that a broker writes. The text becomes a part of a
// configuration: another program at that address must not add a line to it.
func arePatterns(text string) bool {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/{}$-, "
	_, err := access.ParseRules(strings.Split(text, ","))
	return err == nil && strings.Trim(text, characters) == ""
}
