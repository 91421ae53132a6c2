package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
)

// checkOptions are the options of 'broker check'.
type checkOptions struct {
	json    bool
	timeout time.Duration
}

// checkCommand tests every step from the configuration to a first request, and says what to do about the first that fails.
func checkCommand(ctx context.Context, i cli) int {
	options, err := i.checkOptions()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitConfig
	}
	server.SilenceStandardLog()
	checkConfig, problems := i.checkConfig(options)
	printer := check.NewPrinter(i.stdout)
	if !options.json {
		checkConfig.OnStep = printer.Step
	}
	report := check.Run(ctx, checkConfig)
	i.printErrors(problems)
	if options.json {
		i.printJSON(report)
	} else {
		printer.Summary(report)
	}
	switch {
	case len(problems) > 0:
		return exitConfig
	case !report.OK:
		return exitFailure
	}
	return exitOK
}

func (i cli) checkOptions() (options checkOptions, err error) {
	flags := flag.NewFlagSet(i.program+" check", flag.ContinueOnError)
	flags.SetOutput(i.stderr)
	flags.BoolVar(&options.json, "json", false, "print one JSON object, for machines: see docs/check.md")
	flags.DurationVar(&options.timeout, "timeout", 10*time.Second, "give up a step after this long")
	if err = flags.Parse(i.args); err != nil {
		return options, err
	}
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("takes no arguments but -json and -timeout; it is configured by environment variables, see '%s -h'", i.program)
	case options.timeout <= 0:
		err = errors.New("-timeout must be greater than zero, such as 10s")
	default:
		return options, nil
	}
	printf(i.stderr, "%s check: %v", i.program, err)
	return options, err
}

// printJSON prints the report for machines.
func (i cli) printJSON(report check.Report) {
	encoder := json.NewEncoder(i.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // it is not embedded in HTML
	_ = encoder.Encode(report)   // there is no other place to report an error
}

// checkConfig returns what to check. With an invalid configuration, that is the only step.
func (i cli) checkConfig(options checkOptions) (check.Config, []config.Error) {
	began := time.Now()
	c, problems := config.Load(i.environ)
	problems = append(problems, c.LateFiles...)
	checkConfig := check.Config{Timeout: options.timeout}
	warnings := append(config.UnknownVariables(i.environ), unreadableProxy(config.Environment(i.environ))...)
	if len(problems) == 0 {
		ignored, err := i.fillCheckConfig(&checkConfig, c)
		if err != nil {
			problems = append(problems, config.Error{Variable: "ETRUSTED_ACCOUNTS_DIR", Message: err.Error()})
		}
		warnings = append(warnings, ignored...)
	}
	checkConfig.Configuration = check.Step{
		Name:     "configuration",
		Status:   check.StatusOK,
		Text:     "settings are valid",
		Warnings: warnings,
	}
	if len(problems) > 0 {
		checkConfig.Configuration = refusal(problems, warnings)
	}
	checkConfig.Configuration.Seconds = time.Since(began).Seconds()
	return checkConfig, problems
}

// unreadableProxy warns about a proxy URL that net/http silently ignores. The URL is not repeated, because it may contain a
// password.
func unreadableProxy(variables map[string]string) []string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		_, err := url.Parse(variables[name])
		_, errAsHost := url.Parse("http://" + variables[name])
		if err != nil && errAsHost != nil {
			return []string{name + " is not a URL, so it has no effect: set it as http://HOST:PORT, or unset it"}
		}
	}
	return nil
}

// refusal returns the step for an invalid configuration.
func refusal(problems []config.Error, warnings []string) check.Step {
	var names, texts []string
	for _, problem := range problems {
		names = append(names, problem.Variable)
		texts = append(texts, problem.Error())
	}
	return check.Step{
		Name:     "configuration",
		Status:   check.StatusFailed,
		Text:     "invalid: " + strings.Join(names, ", "),
		Advice:   strings.Join(texts, "; ") + ".",
		Cause:    check.CauseConfiguration,
		Warnings: warnings,
	}
}
