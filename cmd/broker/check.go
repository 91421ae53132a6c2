package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"strings"
	"time"

	"etrusted-broker/internal/check"
)

// checkOptions are what the command line of 'broker check' says.
type checkOptions struct {
	json    bool
	timeout time.Duration
}

// checkCommand tests each step of a request, and reports the cause of a failure and what to do.
func checkCommand(ctx context.Context, i invocation) int {
	options, err := i.checkOptions()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitConfig
	}
	silenceStandardLog()
	config, problems := i.checkConfig(options)
	printer := check.NewPrinter(i.stdout)
	if !options.json {
		config.OnStep = printer.Step
	}
	report := check.Run(ctx, config)
	i.complain(problems)
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

func (i invocation) checkOptions() (options checkOptions, err error) {
	flags := flag.NewFlagSet("broker check", flag.ContinueOnError)
	flags.SetOutput(i.stderr)
	flags.BoolVar(&options.json, "json", false, "print one JSON object, for machines: see docs/check.md")
	flags.DurationVar(&options.timeout, "timeout", 10*time.Second, "give up a step after this long")
	if err = flags.Parse(i.args); err != nil {
		return options, err
	}
	switch {
	case flags.NArg() > 0:
		err = errors.New("takes no arguments but -json and -timeout; it is configured by environment variables, see 'broker -h'")
	case options.timeout <= 0:
		err = errors.New("-timeout must be more than nothing, such as 10s")
	default:
		return options, nil
	}
	say(i.stderr, "broker check: %v", err)
	return options, err
}

// printJSON prints the report for machines.
func (i invocation) printJSON(report check.Report) {
	encoder := json.NewEncoder(i.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // it is not embedded in HTML
	_ = encoder.Encode(report)   // an error could be reported only on the same terminal
}

// checkConfig returns what to check. With an invalid configuration, that is the only step.
func (i invocation) checkConfig(options checkOptions) (check.Config, []configError) {
	began := time.Now()
	c, problems := loadConfig(i.environ)
	config := check.Config{Timeout: options.timeout}
	warnings := append(unknownVariables(i.environ), unreadableProxy(environment(i.environ))...)
	if len(problems) == 0 {
		ignored, err := i.wire(&config, c)
		if err != nil {
			problems = append(problems, configError{"ETRUSTED_ACCOUNTS_DIR", err.Error()})
		}
		warnings = append(warnings, ignored...)
	}
	config.Configuration = check.Step{
		Name:     "configuration",
		Status:   check.StatusOK,
		Text:     "settings are valid",
		Warnings: warnings,
	}
	if len(problems) > 0 {
		config.Configuration = refusal(problems, warnings)
	}
	config.Configuration.Seconds = time.Since(began).Seconds()
	return config, problems
}

// unreadableProxy warns of a proxy that net/http passes over in silence. It is not repeated, since it may hold a password.
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

// refusal is the step for an invalid configuration.
func refusal(problems []configError, warnings []string) check.Step {
	var names, texts []string
	for _, problem := range problems {
		names = append(names, problem.variable)
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
