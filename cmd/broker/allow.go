package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"etrusted-broker/proxy/access"
)

// allowCommand prints the allow list for what apps have used of the API since the start of the running broker.
func allowCommand(ctx context.Context, i *invocation) error {
	flags := i.flags()
	caller := flags.String("caller", "", "print only what this caller has used, for its file allow")
	if err := i.parseNoArgs(flags); err != nil {
		return err
	}
	status, err := i.runningStatus(ctx)
	if err != nil {
		return err
	}
	list := status.AllowList
	variable, patterns, _ := strings.Cut(list.Line, "=")
	text := list.Line
	if *caller != "" {
		patterns = ""
		for _, used := range list.Callers {
			if used.Caller == *caller {
				patterns = used.Patterns
			}
		}
		text = strings.ReplaceAll(patterns, ", ", "\n")
	}
	switch {
	case list.Mode == "", // another version
		list.Line != "" && variable != "BROKER_ALLOW", patterns != "" && !couldBeSuggestedAllowList(patterns):
		return fmt.Errorf("the admin listener %w", errNotBrokerOfThisVersion)
	case patterns == "" && *caller != "":
		return fmt.Errorf("the caller %q has used nothing since the broker started: check the name, or let it work", *caller)
	case patterns == "":
		return errors.New("nothing was used since the broker started: let the apps work, and try again")
	}
	if list.Evicted > 0 {
		printLine(i.stderr, "%s allow: warning: there were more operations than the broker keeps, so some may be missing: %d", i.program, list.Evicted)
	}
	printLine(i.stdout, "%s", text)
	return nil
}

// couldBeSuggestedAllowList reports whether a broker could have suggested a text as an allow list. It becomes configuration:
// nothing else may add to it.
func couldBeSuggestedAllowList(text string) bool {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/{}$-, "
	_, err := access.ParseAllowList(strings.Split(text, ","))
	return err == nil && strings.Trim(text, characters) == ""
}
